package ipalloc

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// give stores a range as an administrator and the controller would.
func (v *server) give(t *testing.T, name string, ready metav1.ConditionStatus, cidrs ...string) {
	t.Helper()
	must(v.addresses.ranges.cached.Create(t.Context(), &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs},
		Status: networkingv1.ServiceCIDRStatus{Conditions: []metav1.Condition{{Type: networkingv1.ServiceCIDRConditionReady, Status: ready}}},
	}, 0))(t)
}

// Addresses come from ranges that are ready: from the default while it has any,
// and then from the others.
func TestRangesOfServiceCIDRs(t *testing.T) {
	t.Parallel()
	v := newServer(t, newStore(t), "10.43.0.0/30", PortRange{})
	v.give(t, "a-second", metav1.ConditionTrue, "10.44.0.0/30")
	v.give(t, "a-third", metav1.ConditionFalse, "10.45.0.0/30")
	v.give(t, DefaultServiceCIDR, metav1.ConditionTrue, "10.43.0.0/30", "fd00::/112")
	var got []string
	for _, name := range []string{"a", "b", "c", "d"} {
		got = append(got, spec(must(v.create(t, service(name, nil)))(t)).ClusterIP)
	}
	if want := []string{"10.43.0.1", "10.43.0.2", "10.44.0.1", "10.44.0.2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := v.create(t, service("full", nil)); err == nil {
		t.Error("an address was given by ranges that are full")
	}
	if _, err := v.create(t, service("closed", func(s *corev1.ServiceSpec) { s.ClusterIP = "10.45.0.1" })); err == nil {
		t.Error("an address of a range that is not ready was given")
	}
}
