package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// parts runs the long-running parts of a process. The first that ends with an
// error ends all others, and is the error of the process. Parts end in the
// order of their levels: those started later end first, so that nothing loses
// what it stands on while it still works.
type parts struct {
	fail   context.CancelCauseFunc
	failed context.Context

	mu     sync.Mutex
	levels []*level
}

type level struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func newParts(ctx context.Context) *parts {
	p := &parts{}
	p.failed, p.fail = context.WithCancelCause(ctx)
	return p
}

// run starts a part that may use everything started before it. Its context
// ends when the process is to stop and everything started later has ended.
func (p *parts) run(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.failed))
	l := &level{cancel: cancel}
	p.mu.Lock()
	p.levels = append(p.levels, l)
	p.mu.Unlock()
	l.done.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			p.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// atExit runs f when everything started later has ended.
func (p *parts) atExit(f func()) {
	p.run("", func(ctx context.Context) error {
		<-ctx.Done()
		f()
		return nil
	})
}

// context ends when the process is to stop.
func (p *parts) context() context.Context { return p.failed }

// wait blocks until the process is to stop, then ends the parts, the last
// first, and returns the error that was the cause, if one was.
func (p *parts) wait() error {
	<-p.failed.Done()
	err := context.Cause(p.failed)
	p.fail(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.levels) - 1; i >= 0; i-- {
		p.levels[i].cancel()
		p.levels[i].done.Wait()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
