package garbage

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ownerState is what the API server says of one owner.
type ownerState int

const (
	// solid: the owner exists.
	solid ownerState = iota
	// dangling: it does not, or another object has its name.
	dangling
	// waiting: it is being deleted in the foreground and waits for dependents.
	waiting
)

// verdict is what is to be done with an object.
type verdict struct {
	// drop these owner references and keep the object.
	drop []types.UID
	// unblock makes owner references no longer block the deletion of their
	// owners, so that a circle of objects that wait for one another is broken.
	unblock bool
	// remove the object with this propagation; empty keeps it.
	remove metav1.DeletionPropagation
}

// judge decides on a live object with owner references, given the state of each
// owner and its own dependents.
func judge(owners []metav1.OwnerReference, states []ownerState, finalizers []string, dependents []dependent) (v verdict) {
	var count [3]int
	for _, s := range states {
		count[s]++
	}
	if count[solid] > 0 {
		for i, s := range states {
			if s != solid {
				v.drop = append(v.drop, owners[i].UID)
			}
		}
		return v
	}
	if count[waiting] > 0 && len(dependents) > 0 {
		// The object is to wait for its own dependents in turn. Where one of
		// them waits as well, they may be waiting for one another.
		v.unblock = slices.ContainsFunc(dependents, func(d dependent) bool { return d.waits })
		v.remove = metav1.DeletePropagationForeground
		return v
	}
	switch {
	case has(finalizers, metav1.FinalizerOrphanDependents):
		v.remove = metav1.DeletePropagationOrphan
	case has(finalizers, metav1.FinalizerDeleteDependents):
		v.remove = metav1.DeletePropagationForeground
	default:
		v.remove = metav1.DeletePropagationBackground
	}
	return v
}
