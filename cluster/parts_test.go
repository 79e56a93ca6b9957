package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// log notes what happens, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, s)
}

// What was started last ends first, and its end is waited for.
func TestPartsEndInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newParts(ctx)
		var l log
		for _, name := range []string{"store", "server", "node"} {
			p.run(name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // a slow end
				l.add(name)
				return nil
			})
		}
		p.atExit(func() { l.add("exit") })
		cancel()
		if err := p.wait(); err != nil {
			t.Error(err)
		}
		if want := []string{"exit", "node", "server", "store"}; !slices.Equal(l.lines, want) {
			t.Errorf("ended in the order %v", l.lines)
		}
	})
}

func TestFirstErrorEndsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParts(t.Context())
		broken := errors.New("broken")
		p.run("below", func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("an error while ending is not the cause")
		})
		p.run("a part", func(context.Context) error { return broken })
		if err := p.wait(); !errors.Is(err, broken) || err.Error() != "a part: broken" {
			t.Errorf("got %v", err)
		}
		if p.context().Err() == nil {
			t.Error("the process goes on")
		}
	})
}

// A part that has done its work ends nothing.
func TestPartMayFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newParts(ctx)
		p.run("short", func(context.Context) error { return nil })
		synctest.Wait()
		if p.context().Err() != nil {
			t.Error("the process ends with it")
		}
		cancel()
		if err := p.wait(); err != nil {
			t.Error(err)
		}
	})
}
