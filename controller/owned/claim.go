package owned

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Claim sorts objects into those that an owner controls and keeps, those that
// it should adopt, and those that it should let go.
type Claim[T metav1.Object] struct {
	Keep, Adopt, Release []T
}

// Sort applies the rules of adoption: what the owner controls it keeps while
// the selector matches; an orphan that matches is adopted unless either is
// being deleted.
func Sort[T metav1.Object](owner metav1.Object, selector labels.Selector, controlled, orphans []T) Claim[T] {
	var c Claim[T]
	for _, o := range controlled {
		switch {
		case selector.Matches(labels.Set(o.GetLabels())):
			c.Keep = append(c.Keep, o)
		case owner.GetDeletionTimestamp() == nil && o.GetDeletionTimestamp() == nil:
			c.Release = append(c.Release, o)
		}
	}
	if owner.GetDeletionTimestamp() != nil {
		return c
	}
	for _, o := range orphans {
		if o.GetDeletionTimestamp() == nil && selector.Matches(labels.Set(o.GetLabels())) {
			c.Adopt = append(c.Adopt, o)
		}
	}
	return c
}

// AdoptPatch is the strategic merge patch that makes owner the controller of
// the object with the uid.
func AdoptPatch(owner metav1.Object, kind schema.GroupVersionKind, uid types.UID) ([]byte, error) {
	return ownerPatch(metav1.NewControllerRef(owner, kind), uid)
}

// ReleasePatch is the strategic merge patch that removes owner from the owners
// of the object with the uid.
func ReleasePatch(owner metav1.Object, uid types.UID) ([]byte, error) {
	return ownerPatch(map[string]any{"$patch": "delete", "uid": owner.GetUID()}, uid)
}

func ownerPatch(ref any, uid types.UID) ([]byte, error) {
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": uid, "ownerReferences": []any{ref}}})
	if err != nil {
		return nil, fmt.Errorf("encode an owner reference: %w", err)
	}
	return b, nil
}
