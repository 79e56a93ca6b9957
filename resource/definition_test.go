package resource

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestDeprecation(t *testing.T) {
	t.Parallel()
	v1 := corev1.SchemeGroupVersion
	if got, want := deprecation(v1.WithKind("Endpoints"), &corev1.Endpoints{}), "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := deprecation(v1.WithKind("Pod"), &corev1.Pod{}); got != "" {
		t.Errorf("pods are not deprecated, yet: %q", got)
	}
}
