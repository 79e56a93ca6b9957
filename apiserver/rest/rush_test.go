package rest

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestHold: deliveries that follow each other closely are held apart where many
// watches get them, and none after a pause.
func TestHold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	synctest.Test(t, func(t *testing.T) {
		var all atomic.Int64
		all.Store(99)
		r := rush{all: &all}
		took := func(after time.Duration, events int) time.Duration {
			time.Sleep(after)
			start := time.Now()
			r.hold(ctx, events)
			return time.Since(start)
		}
		for _, tt := range []struct {
			after  time.Duration
			events int
			others int64
			want   time.Duration
		}{
			{time.Second, 1, 99, 0},
			{rushTime, 1, 99, 0},
			{rushTime - 1, 1, 99, 100 * holdEach}, // two in a rush: the third waits
			{0, 3, 99, 100 * holdEach},
			{0, gathered, 99, 0}, // enough have come together
			{0, 1, 0, 0},         // alone
			{0, 1, 8, 0},         // too few to matter
			{0, 1, 9, 10 * holdEach},
			{0, 1, 1 << 20, maxHold},
			{rushTime, 1, 99, 0},
			{time.Hour, 1, 99, 0},
		} {
			own := int64(0)
			if r.in {
				own = 1
			}
			all.Store(tt.others + own)
			if got := took(tt.after, tt.events); got != tt.want {
				t.Errorf("%d events after %v with %d others: held back %v, want %v", tt.events, tt.after, tt.others, got, tt.want)
			}
		}
		took(0, 1)
		if got := all.Load(); got != 100 {
			t.Errorf("%d watches are in a rush, want 100", got)
		}
		cancel()
		if got := took(0, 1); got != 0 {
			t.Errorf("a watch that has ended was held back %v", got)
		}
		r.end()
		r.end()
		if got := all.Load(); got != 99 {
			t.Errorf("%d watches are in a rush after the end of one, want 99", got)
		}
	})
}
