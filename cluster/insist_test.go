package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
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
		var mu sync.Mutex
		refused, attempts := true, []time.Duration{}
		made := func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(attempts)
		}
		insist(t.Context(), p, slog.New(slog.DiscardHandler), "a thing", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, time.Since(start))
			if refused {
				return errors.New("refused")
			}
			return nil
		})
		if time.Since(start) != 0 || len(made()) != 1 {
			t.Fatalf("the start was held up: %v", made())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if a := made(); len(a) != 15 || a[1] != firstDelay || a[len(a)-1]-a[len(a)-2] != lastDelay {
			t.Errorf("attempts: %v", a)
		}
		mu.Lock()
		refused = false
		mu.Unlock()
		time.Sleep(lastDelay)
		synctest.Wait()
		n := len(made())
		time.Sleep(time.Hour)
		if more := len(made()) - n; more != 0 {
			t.Errorf("%d attempts after it was done", more)
		}
		p.fail(nil)
		if err := p.wait(); err != nil {
			t.Error(err)
		}
	})
}
