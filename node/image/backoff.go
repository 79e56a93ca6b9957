package image

import (
	"sync"
	"time"
)

const (
	backOffInitial = 10 * time.Second
	backOffMax     = 5 * time.Minute
)

// backOff remembers failed pulls by key. An entry is forgotten once it is
// twice the longest delay old, so the map holds what failed of late.
type backOff struct {
	mu      sync.Mutex
	entries map[string]backOffEntry
}

type backOffEntry struct {
	delay time.Duration
	since time.Time
	err   *Error
}

// waiting returns the last failure if its delay has not passed.
func (b *backOff) waiting(key string, now time.Time) (*Error, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	if !ok || now.Sub(e.since) >= e.delay {
		return nil, false
	}
	return e.err, true
}

func (b *backOff) failed(key string, now time.Time, err *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, e := range b.entries {
		if now.Sub(e.since) > 2*backOffMax {
			delete(b.entries, k)
		}
	}
	delay := backOffInitial
	if e, ok := b.entries[key]; ok {
		delay = min(2*e.delay, backOffMax)
	}
	if b.entries == nil {
		b.entries = map[string]backOffEntry{}
	}
	b.entries[key] = backOffEntry{delay, now, err}
}
