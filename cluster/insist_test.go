package cluster

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestInsist: what is refused at the start does not stop it, and is done once it is
// no longer refused.
func TestInsist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParts(t.Context())
		start := time.Now()
		refused, attempts := true, []time.Duration{}
		insist(t.Context(), p, slog.New(slog.DiscardHandler), "a thing", func(context.Context) error {
			attempts = append(attempts, time.Since(start))
			if refused {
				return errors.New("refused")
			}
			return nil
		})
		if time.Since(start) != 0 || len(attempts) != 1 {
			t.Fatalf("the start was held up: %v", attempts)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(attempts); n != 15 || attempts[1] != firstDelay || attempts[n-1]-attempts[n-2] != lastDelay {
			t.Errorf("attempts: %v", attempts)
		}
		refused = false
		time.Sleep(lastDelay)
		synctest.Wait()
		n := len(attempts)
		time.Sleep(time.Hour)
		if len(attempts) != n {
			t.Errorf("%d attempts after it was done", len(attempts)-n)
		}
		p.fail(nil)
		if err := p.wait(); err != nil {
			t.Error(err)
		}
	})
}
