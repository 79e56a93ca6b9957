package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// expectationsTimeout is how long an asked-for change may stay unseen before
// the controller trusts its cache again: an event can be lost only together
// with its watch, and the relist that follows comes within minutes.
const expectationsTimeout = 5 * time.Minute

// Expectations remembers, per key, the creations and deletions that a
// controller has asked for and not yet seen in its cache. While any are
// outstanding, counting the cache would miscount, so the controller waits. Safe
// for concurrent use.
type Expectations[K comparable] struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	keys  map[K]*expected
}

type expected struct {
	creations int
	deletions map[types.UID]struct{}
	since     time.Time
}

// NewExpectations makes an empty record.
func NewExpectations[K comparable](c clock.PassiveClock) *Expectations[K] {
	return &Expectations[K]{clock: c, keys: map[K]*expected{}}
}

// ExpectCreations adds n creations that are about to be asked for.
func (e *Expectations[K]) ExpectCreations(key K, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entry(key).creations += n
}

// ExpectDeletion adds the deletion of the object with the uid.
func (e *Expectations[K]) ExpectDeletion(key K, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entry(key).deletions[uid] = struct{}{}
}

// CreationObserved takes back one creation: it was seen, or has failed.
func (e *Expectations[K]) CreationObserved(key K) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.keys[key]; x != nil && x.creations > 0 {
		x.creations--
		e.settle(key, x)
	}
}

// DeletionObserved takes back the deletion of uid: it was seen, or has failed.
func (e *Expectations[K]) DeletionObserved(key K, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.keys[key]; x != nil {
		delete(x.deletions, uid)
		e.settle(key, x)
	}
}

// Satisfied reports whether all that was asked for has been seen, or has been
// outstanding for so long that the cache is to be believed.
func (e *Expectations[K]) Satisfied(key K) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.keys[key]
	if x == nil {
		return true
	}
	if e.clock.Since(x.since) > expectationsTimeout {
		delete(e.keys, key)
		return true
	}
	return false
}

// Forget drops what is known of a key whose object is gone.
func (e *Expectations[K]) Forget(key K) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.keys, key)
}

func (e *Expectations[K]) entry(key K) *expected {
	x := e.keys[key]
	if x == nil {
		x = &expected{deletions: map[types.UID]struct{}{}}
		e.keys[key] = x
	}
	x.since = e.clock.Now()
	return x
}

func (e *Expectations[K]) settle(key K, x *expected) {
	if x.creations == 0 && len(x.deletions) == 0 {
		delete(e.keys, key)
	}
}
