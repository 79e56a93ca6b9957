package core

import (
	corev1 "k8s.io/api/core/v1"

	"proa/resource"
)

// RangeAllocation is where servers keep which node ports are taken. It is
// stored under the key that upstream uses, and not served.
func RangeAllocation() *resource.Definition {
	return resource.Row[*corev1.RangeAllocation]{
		Storage:       corev1.SchemeGroupVersion,
		Kind:          "RangeAllocation",
		Plural:        "rangeallocations",
		ClusterScoped: true,
		Prefix:        "ranges",
		Virtual:       true,
		New:           func() *corev1.RangeAllocation { return new(corev1.RangeAllocation) },
	}.Define()
}
