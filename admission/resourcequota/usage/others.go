package usage

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func ofService(used corev1.ResourceList, s *corev1.Service) {
	ports := len(s.Spec.Ports)
	used[corev1.ResourceServices] = *resource.NewQuantity(1, resource.DecimalSI)
	used[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(0, resource.DecimalSI)
	used[corev1.ResourceServicesLoadBalancers] = *resource.NewQuantity(0, resource.DecimalSI)
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
		used[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(int64(ports), resource.DecimalSI)
	case corev1.ServiceTypeLoadBalancer:
		if a := s.Spec.AllocateLoadBalancerNodePorts; a != nil && !*a {
			// Only those that were asked for by number.
			ports = 0
			for _, p := range s.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
		used[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(int64(ports), resource.DecimalSI)
		used[corev1.ResourceServicesLoadBalancers] = *resource.NewQuantity(1, resource.DecimalSI)
	}
}

// Names of quotas within one storage class end so.
const (
	classStorage = ".storageclass.storage.k8s.io/requests.storage"
	classClaims  = ".storageclass.storage.k8s.io/persistentvolumeclaims"
)

func ofClaims(name corev1.ResourceName) bool {
	return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage ||
		strings.HasSuffix(string(name), classStorage) || strings.HasSuffix(string(name), classClaims)
}

func ofClaim(used corev1.ResourceList, c *corev1.PersistentVolumeClaim) {
	one := *resource.NewQuantity(1, resource.DecimalSI)
	used[corev1.ResourcePersistentVolumeClaims] = one
	class := c.Annotations[corev1.BetaStorageClassAnnotation]
	if class == "" && c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	if class != "" {
		used[corev1.ResourceName(class+classClaims)] = one
	}
	size, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return
	}
	// A resize that is under way has been given already.
	if a, ok := c.Status.AllocatedResources[corev1.ResourceStorage]; ok && a.Cmp(size) > 0 {
		size = a
	}
	size = *resource.NewQuantity(size.Value(), size.Format)
	used[corev1.ResourceRequestsStorage] = size
	if class != "" {
		used[corev1.ResourceName(class+classStorage)] = size
	}
}
