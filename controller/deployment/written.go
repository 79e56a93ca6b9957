package deployment

import (
	"strconv"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/controller"
)

// written remembers the revisions at which this controller last wrote the sets
// of a deployment. Counting sets of which the cache has not caught up yet would
// miscount: a set that was just scaled up looks small, and another would be
// given the room that it has taken. Safe for concurrent use.
type written struct {
	mu   sync.Mutex
	sets map[controller.Key]map[types.UID]int64
}

func (w *written) note(key controller.Key, rs *appsv1.ReplicaSet) {
	rev, err := strconv.ParseInt(rs.ResourceVersion, 10, 64)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sets == nil {
		w.sets = map[controller.Key]map[types.UID]int64{}
	}
	if w.sets[key] == nil {
		w.sets[key] = map[types.UID]int64{}
	}
	w.sets[key][rs.UID] = rev
}

// unseen reports whether one of the sets is older than it was written. What has
// been seen is forgotten, and so is what is gone.
func (w *written) unseen(key controller.Key, sets []*appsv1.ReplicaSet) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := map[types.UID]int64{}
	for _, rs := range sets {
		rev, ok := w.sets[key][rs.UID]
		if !ok {
			continue
		}
		if is, err := strconv.ParseInt(rs.ResourceVersion, 10, 64); err == nil && is < rev {
			left[rs.UID] = rev
		}
	}
	if len(left) == 0 {
		delete(w.sets, key)
		return false
	}
	w.sets[key] = left
	return true
}

func (w *written) forget(key controller.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sets, key)
}
