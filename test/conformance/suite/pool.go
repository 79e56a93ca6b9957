package suite

import (
	"context"
	"sync"

	"github.com/onsi/ginkgo/v2/types"
)

// All runs the parallel tests, as many at once as there are workers, and then
// the serial ones one by one. It hands each report to done, one at a time. It
// ends at the first error of the runner or of done, or with ctx.
func (r *Runner) All(ctx context.Context, tests []Test, workers int, done func(Test, types.SpecReport) error) error {
	var parallel, serial []Test
	for _, t := range tests {
		if t.Serial {
			serial = append(serial, t)
		} else {
			parallel = append(parallel, t)
		}
	}
	if err := r.pool(ctx, parallel, workers, done); err != nil {
		return err
	}
	return r.pool(ctx, serial, 1, done)
}

func (r *Runner) pool(ctx context.Context, tests []Test, workers int, done func(Test, types.SpecReport) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan Test)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		wg.Go(func() {
			for t := range todo {
				report, err := r.Run(ctx, t)
				if err == nil {
					mu.Lock()
					err = done(t, report)
					mu.Unlock()
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, t := range tests {
		select {
		case todo <- t:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}
