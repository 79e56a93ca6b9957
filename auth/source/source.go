// Package source serves stored objects from the watch cache to those who
// decide about requests: authenticators, authorizers and admission plugins,
// whose narrow getters [Objects] implements.
//
// An object is read from the cache as it is; only where it is not there, the
// cache is first brought up to the store, so that a request that follows a
// write by a moment sees what was written. What is returned is shared and must
// not be changed.
//
// [Follow] feeds an index (RBAC rules, the node graph) by events.
package source

import (
	"context"
	"errors"
	"slices"

	arv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/cache"
	"proa/resource"
)

// Objects reads stored objects. Safe for concurrent use.
type Objects struct {
	namespaces      kind[*corev1.Namespace]
	nodes           kind[*corev1.Node]
	pods            kind[*corev1.Pod]
	secrets         kind[*corev1.Secret]
	serviceAccounts kind[*corev1.ServiceAccount]
	limitRanges     kind[*corev1.LimitRange]
	quotas          kind[*corev1.ResourceQuota]
	claims          kind[*corev1.PersistentVolumeClaim]
	services        kind[*corev1.Service]
	endpointSlices  kind[*discoveryv1.EndpointSlice]
	volumes         kind[*corev1.PersistentVolume]
	priorityClasses kind[*schedulingv1.PriorityClass]
	storageClasses  kind[*storagev1.StorageClass]
	csiDrivers      kind[*storagev1.CSIDriver]
	ingressClasses  kind[*networkingv1.IngressClass]
	runtimeClasses  kind[*nodev1.RuntimeClass]
	validating      kind[*arv1.ValidatingAdmissionPolicy]
	mutating        kind[*arv1.MutatingAdmissionPolicy]
}

// New serves the kinds that the view of the table has.
func New(hub *cache.Hub, view *resource.View) *Objects {
	o := &Objects{}
	core := corev1.SchemeGroupVersion
	o.namespaces.find(hub, view, core.WithResource("namespaces"))
	o.nodes.find(hub, view, core.WithResource("nodes"))
	o.pods.find(hub, view, core.WithResource("pods"))
	o.secrets.find(hub, view, core.WithResource("secrets"))
	o.serviceAccounts.find(hub, view, core.WithResource("serviceaccounts"))
	o.limitRanges.find(hub, view, core.WithResource("limitranges"))
	o.quotas.find(hub, view, core.WithResource("resourcequotas"))
	o.services.find(hub, view, core.WithResource("services"))
	o.endpointSlices.find(hub, view, discoveryv1.SchemeGroupVersion.WithResource("endpointslices"))
	o.claims.find(hub, view, core.WithResource("persistentvolumeclaims"))
	o.volumes.find(hub, view, core.WithResource("persistentvolumes"))
	o.priorityClasses.find(hub, view, schedulingv1.SchemeGroupVersion.WithResource("priorityclasses"))
	o.storageClasses.find(hub, view, storagev1.SchemeGroupVersion.WithResource("storageclasses"))
	o.csiDrivers.find(hub, view, storagev1.SchemeGroupVersion.WithResource("csidrivers"))
	o.ingressClasses.find(hub, view, networkingv1.SchemeGroupVersion.WithResource("ingressclasses"))
	o.runtimeClasses.find(hub, view, nodev1.SchemeGroupVersion.WithResource("runtimeclasses"))
	o.validating.find(hub, view, arv1.SchemeGroupVersion.WithResource("validatingadmissionpolicies"))
	o.mutating.find(hub, view, arv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicies"))
	return o
}

// Policy returns the definitions of roles and bindings that are served, whose
// events an RBAC index follows.
func Policy(view *resource.View) []*resource.Definition {
	return definitions(view, rbacv1.SchemeGroupVersion, "clusterroles", "clusterrolebindings", "roles", "rolebindings")
}

// Nodes returns the definitions that are served whose events a node graph
// follows.
func Nodes(view *resource.View) []*resource.Definition {
	return slices.Concat(
		definitions(view, corev1.SchemeGroupVersion, "pods", "persistentvolumes"),
		definitions(view, storagev1.SchemeGroupVersion, "volumeattachments"),
		definitions(view, resourcev1.SchemeGroupVersion, "resourceslices"),
	)
}

func definitions(view *resource.View, gv schema.GroupVersion, names ...string) []*resource.Definition {
	var defs []*resource.Definition
	for _, n := range names {
		if m, ok := view.Resource(gv.WithResource(n)); ok {
			defs = append(defs, m.Definition)
		}
	}
	return defs
}

// kind reads the objects of one kind.
type kind[T resource.Object] struct {
	of    schema.GroupResource
	cache *cache.Cache // nil where the kind is not served
}

func (k *kind[T]) find(hub *cache.Hub, view *resource.View, gvr schema.GroupVersionResource) {
	k.of = gvr.GroupResource()
	if m, ok := view.Resource(gvr); ok {
		k.cache = hub.Cache(m.Definition)
	}
}

func (k *kind[T]) get(ctx context.Context, namespace, name string) (T, error) {
	var none T
	if k.cache == nil {
		return none, apierrors.NewNotFound(k.of, name)
	}
	e, _, err := k.cache.Get(ctx, namespace, name, cache.Any, 0)
	if errors.Is(err, cache.ErrNotFound) {
		e, _, err = k.cache.Get(ctx, namespace, name, cache.Latest, 0)
	}
	return typed[T](k, e, name, err)
}

func typed[T resource.Object](k *kind[T], e *cache.Entry, name string, err error) (T, error) {
	var none T
	if err != nil {
		if s := cache.Status(k.cache.Definition, name, err); s != nil {
			return none, s
		}
		return none, err
	}
	return e.Object.(T), nil
}

// list returns all objects of a namespace, or all where that is empty, as the
// cache has them.
func (k *kind[T]) list(ctx context.Context, namespace string, m cache.Match) ([]T, error) {
	return k.selected(ctx, namespace, nil, m)
}

// selected is list, of what a field selector selects where it is not nil.
func (k *kind[T]) selected(ctx context.Context, namespace string, by fields.Selector, m cache.Match) ([]T, error) {
	if k.cache == nil {
		return nil, nil
	}
	r, err := k.cache.List(ctx, cache.ListRequest{
		Predicate: cache.NewPredicate(k.cache.Definition, nil, namespace, nil, by), Match: m,
	})
	if err != nil {
		if s := cache.Status(k.cache.Definition, "", err); s != nil {
			return nil, s
		}
		return nil, err
	}
	list := make([]T, 0, len(r.Entries))
	for _, e := range r.Entries {
		if o, ok := e.Object.(T); ok {
			list = append(list, o)
		}
	}
	return list, nil
}
