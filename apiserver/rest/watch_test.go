package rest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestGather: deliveries that follow each other closely are held apart, and none
// after a pause.
func TestGather(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	synctest.Test(t, func(t *testing.T) {
		var r rush
		took := func(after time.Duration, events int) time.Duration {
			time.Sleep(after)
			start := time.Now()
			r.gather(ctx, events)
			return time.Since(start)
		}
		for _, tt := range []struct {
			after  time.Duration
			events int
			want   time.Duration
		}{
			{time.Second, 1, 0},
			{gatherTime, 1, 0},
			{gatherTime / 4, 1, gatherTime}, // two in a rush: the third waits
			{0, 3, gatherTime},
			{0, gathered, 0}, // enough have come together
			{0, 3, gatherTime},
			{gatherTime - 1, 1, gatherTime},
			{gatherTime, 1, 0},
			{time.Hour, 1, 0},
		} {
			if got := took(tt.after, tt.events); got != tt.want {
				t.Errorf("%d events after %v: held back %v, want %v", tt.events, tt.after, got, tt.want)
			}
		}
		took(0, 1)
		cancel()
		if got := took(0, 1); got != 0 {
			t.Errorf("a watch that has ended was held back %v", got)
		}
	})
}
