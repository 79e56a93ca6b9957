package core

import (
	corev1 "k8s.io/api/core/v1"

	"proa/resource"
)

// Binding is the row of bindings: what assigns a pod to a node, by the name
// that it had before it was a subresource of pods. Nothing is stored.
func Binding() *resource.Definition {
	return resource.Row[*corev1.Binding]{
		Storage: corev1.SchemeGroupVersion,
		Kind:    "Binding",
		Plural:  "bindings",
		Virtual: true,
		New:     func() *corev1.Binding { return new(corev1.Binding) },
	}.Define()
}
