package owned

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// indexName of the index by controlling owner. Objects without one are found
// under their namespace.
const indexName = "proa.controller-uid"

// Index finds the objects of an informer by their controlling owner.
type Index[T metav1.Object] struct{ indexer cache.Indexer }

// NewIndex adds the index to an informer that has not been started, or uses
// the one that another controller has added.
func NewIndex[T metav1.Object](informer cache.SharedIndexInformer) (*Index[T], error) {
	if _, ok := informer.GetIndexer().GetIndexers()[indexName]; !ok {
		if err := informer.AddIndexers(cache.Indexers{indexName: ownerKey}); err != nil {
			return nil, fmt.Errorf("index by owner: %w", err)
		}
	}
	return &Index[T]{informer.GetIndexer()}, nil
}

func ownerKey(obj any) ([]string, error) {
	m, ok := obj.(metav1.Object)
	if !ok {
		return nil, nil
	}
	if ref := metav1.GetControllerOfNoCopy(m); ref != nil {
		return []string{string(ref.UID)}, nil
	}
	return []string{"orphan/" + m.GetNamespace()}, nil
}

// By returns the objects that the owner with the uid controls.
func (x *Index[T]) By(uid types.UID) []T { return x.find(string(uid)) }

// Orphans returns the objects of a namespace that nobody controls.
func (x *Index[T]) Orphans(namespace string) []T { return x.find("orphan/" + namespace) }

func (x *Index[T]) find(key string) []T {
	objs, err := x.indexer.ByIndex(indexName, key)
	if err != nil {
		return nil // the index exists: NewIndex made it
	}
	out := make([]T, 0, len(objs))
	for _, o := range objs {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}
