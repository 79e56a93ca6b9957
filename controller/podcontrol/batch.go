package podcontrol

import "sync"

// SlowStart calls f n times in batches that double while all calls succeed, so
// that a template that no admission lets through costs few requests. It
// returns how many calls succeeded and the first error.
func SlowStart(n int, f func() error) (succeeded int, err error) {
	for size := min(1, n); size > 0; size = min(2*size, n-succeeded) {
		errs := make([]error, size)
		var wg sync.WaitGroup
		for i := range size {
			wg.Go(func() { errs[i] = f() })
		}
		wg.Wait()
		for _, e := range errs {
			if e == nil {
				succeeded++
			} else if err == nil {
				err = e
			}
		}
		if err != nil {
			return succeeded, err
		}
	}
	return succeeded, nil
}

// parallelDeletes bounds how many removals are under way at once.
const parallelDeletes = 32

// Each calls f for every item, some at a time, and returns the first error.
func Each[T any](items []T, f func(T) error) error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelDeletes)
	errs := make([]error, len(items))
	for i, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = f(item)
			<-slots
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
