package replicaset

import (
	"context"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"proa/controller"
	"proa/controller/podcontrol"
)

// set is what ReplicaSets and ReplicationControllers have in common.
type set struct {
	metav1.Object
	api            podcontrol.Owner
	replicas       int32
	minReady       int32
	selector       labels.Selector
	template       *v1.PodTemplateSpec
	templateLabels map[string]string
	deleting       bool
}

// kind is one of the two.
type kind struct {
	name     string
	gvk      schema.GroupVersionKind
	informer cache.SharedIndexInformer
	// get reads from the cache, live from the API. Both return a not-found
	// error for a set that is gone.
	get  func(controller.Key) (*set, error)
	live func(context.Context, controller.Key) (*set, error)
	// all returns the sets of a namespace.
	all func(namespace string) ([]*set, error)
	// writeStatus stores what was observed where it differs from what the set
	// says. failure is nil or the error of creating or removing pods.
	writeStatus func(ctx context.Context, s *set, st status, failure error, now metav1.Time) error
}
