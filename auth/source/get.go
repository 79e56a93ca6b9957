package source

import (
	"context"
	"slices"

	arv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"

	"proa/cache"
)

// Namespace returns a namespace.
func (o *Objects) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return o.namespaces.get(ctx, "", name)
}

// Node returns a node.
func (o *Objects) Node(ctx context.Context, name string) (*corev1.Node, error) {
	return o.nodes.get(ctx, "", name)
}

// Pod returns a pod.
func (o *Objects) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return o.pods.get(ctx, namespace, name)
}

// Secret returns a secret.
func (o *Objects) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return o.secrets.get(ctx, namespace, name)
}

// ServiceAccount returns a service account.
func (o *Objects) ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	return o.serviceAccounts.get(ctx, namespace, name)
}

// LimitRanges returns the limit ranges of a namespace.
func (o *Objects) LimitRanges(ctx context.Context, namespace string) ([]*corev1.LimitRange, error) {
	return o.limitRanges.list(ctx, namespace, cache.Any)
}

// ResourceQuotas returns the quotas of a namespace, all that were written
// before the call where fresh is set.
func (o *Objects) ResourceQuotas(ctx context.Context, namespace string, fresh bool) ([]*corev1.ResourceQuota, error) {
	if fresh {
		return o.quotas.list(ctx, namespace, cache.Latest)
	}
	return o.quotas.list(ctx, namespace, cache.Any)
}

// PersistentVolumeClaim returns a claim.
func (o *Objects) PersistentVolumeClaim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	return o.claims.get(ctx, namespace, name)
}

// PersistentVolume returns a volume.
func (o *Objects) PersistentVolume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	return o.volumes.get(ctx, "", name)
}

// PriorityClass returns a priority class.
func (o *Objects) PriorityClass(ctx context.Context, name string) (*schedulingv1.PriorityClass, error) {
	return o.priorityClasses.get(ctx, "", name)
}

// PriorityClasses returns all priority classes.
func (o *Objects) PriorityClasses(ctx context.Context) ([]*schedulingv1.PriorityClass, error) {
	return o.priorityClasses.list(ctx, "", cache.Any)
}

// RuntimeClass returns a runtime class.
func (o *Objects) RuntimeClass(ctx context.Context, name string) (*nodev1.RuntimeClass, error) {
	return o.runtimeClasses.get(ctx, "", name)
}

// StorageClass returns a storage class.
func (o *Objects) StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	return o.storageClasses.get(ctx, "", name)
}

// StorageClasses returns all storage classes.
func (o *Objects) StorageClasses(ctx context.Context) ([]*storagev1.StorageClass, error) {
	return o.storageClasses.list(ctx, "", cache.Any)
}

// Pods returns the pods of a namespace.
func (o *Objects) Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	return o.pods.list(ctx, namespace, cache.Any)
}

// PodsOnNode returns the pods that are bound to a node.
func (o *Objects) PodsOnNode(ctx context.Context, node string) ([]*corev1.Pod, error) {
	return o.pods.selected(ctx, "", fields.OneTermEqualSelector("spec.nodeName", node), cache.Any)
}

// IngressClasses returns all ingress classes.
func (o *Objects) IngressClasses(ctx context.Context) ([]*networkingv1.IngressClass, error) {
	return o.ingressClasses.list(ctx, "", cache.Any)
}

// CSIDriver returns a CSI driver.
func (o *Objects) CSIDriver(ctx context.Context, name string) (*storagev1.CSIDriver, error) {
	return o.csiDrivers.get(ctx, "", name)
}

// Service returns a service.
func (o *Objects) Service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	return o.services.get(ctx, namespace, name)
}

// EndpointSlices returns the slices of a service.
func (o *Objects) EndpointSlices(ctx context.Context, namespace, service string) ([]*discoveryv1.EndpointSlice, error) {
	all, err := o.endpointSlices.list(ctx, namespace, cache.Any)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s *discoveryv1.EndpointSlice) bool { return s.Labels[discoveryv1.LabelServiceName] != service }), nil
}

// ValidatingAdmissionPolicy returns a validating policy.
func (o *Objects) ValidatingAdmissionPolicy(ctx context.Context, name string) (*arv1.ValidatingAdmissionPolicy, error) {
	return o.validating.get(ctx, "", name)
}

// MutatingAdmissionPolicy returns a mutating policy.
func (o *Objects) MutatingAdmissionPolicy(ctx context.Context, name string) (*arv1.MutatingAdmissionPolicy, error) {
	return o.mutating.get(ctx, "", name)
}

// ServiceAccountAdded returns a channel that is closed when the account is
// there. The caller must call stop.
func (o *Objects) ServiceAccountAdded(ctx context.Context, namespace, name string) (<-chan struct{}, func()) {
	added := make(chan struct{})
	c := o.serviceAccounts.cache
	if c == nil {
		return added, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w, err := c.Watch(ctx, cache.WatchRequest{
			Predicate: cache.NewPredicate(c.Definition, nil, namespace, nil, fields.OneTermEqualSelector("metadata.name", name)),
			From:      cache.Any,
		})
		if err != nil {
			return
		}
		defer w.Stop()
		if _, err := w.Next(ctx); err == nil {
			close(added)
		}
	}()
	return added, func() { cancel(); <-done }
}
