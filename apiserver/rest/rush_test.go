package rest

import (
	"context"
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
		var all turns
		r := rush{turns: &all}
		took := func(after time.Duration, events int) time.Duration {
			time.Sleep(after)
			start := time.Now()
			r.hold(ctx, events)
			return time.Since(start)
		}
		for _, tt := range []struct {
			after  time.Duration
			others int // that take their turns just before
			events int
			want   time.Duration
		}{
			{time.Second, 100, 1, 0},
			{rushTime, 100, 1, 0},
			{rushTime - 1, 100, 1, 100 * turn}, // two in a rush: the third waits
			{0, 100, gathered, 0},              // enough have come together
			{maxHold, 0, 1, 0},
			{0, 0, 1, 0},          // alone
			{0, 5, 1, 0},          // too few to matter
			{0, 20, 1, 27 * turn}, // after the seven turns of before
			{0, 1 << 16, 1, maxHold},
			{rushTime, 100, 1, 0},
			{time.Hour, 0, 1, 0}, // those of before have had their turns
			{0, 0, 1, 0},
		} {
			time.Sleep(tt.after)
			for range tt.others {
				all.take(time.Now())
			}
			if got := took(0, tt.events); got != tt.want {
				t.Errorf("%d events after %v with %d others: held back %v, want %v", tt.events, tt.after, tt.others, got, tt.want)
			}
		}
		for range 1000 {
			all.take(time.Now())
		}
		cancel()
		if got := took(0, 1); got != 0 {
			t.Errorf("a watch that has ended was held back %v", got)
		}
	})
}
