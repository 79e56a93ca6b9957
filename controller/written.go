package controller

import (
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Written remembers the revisions at which a controller last wrote the objects
// of its keys. One that the cache holds in an older state is not to be decided
// upon: what it says is behind what the controller has done since. The zero
// value is ready. Safe for concurrent use.
type Written struct {
	mu        sync.Mutex
	revisions map[Key]int64
}

// Note remembers an object as a write returned it.
func (w *Written) Note(key Key, o metav1.Object) {
	rev, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return // no revision of Proa or upstream
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.revisions == nil {
		w.revisions = map[Key]int64{}
	}
	w.revisions[key] = rev
}

// Unseen reports whether an object is older than it was written. The event that
// brings the newer one has the key looked at again.
func (w *Written) Unseen(key Key, o metav1.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	rev, ok := w.revisions[key]
	if !ok {
		return false
	}
	if is, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64); err == nil && is < rev {
		return true
	}
	delete(w.revisions, key)
	return false
}

// Forget drops what is known of a key whose object is gone.
func (w *Written) Forget(key Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.revisions, key)
}
