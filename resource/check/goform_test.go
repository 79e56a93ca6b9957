package check

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestGoForm(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{
		`null`:                              (*appsv1.DeploymentStrategy)(nil),
		`{"Type":"x","RollingUpdate":null}`: &appsv1.DeploymentStrategy{Type: "x"},
		`{"MinAvailable":"5%","Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}`: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromString("5%")), MaxUnavailable: new(intstr.FromInt32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		},
		`[{"Name":"a","Value":""}]`: []corev1.PodDNSConfigOption{{Name: "a", Value: new("")}},
	} {
		b, err := json.Marshal(GoForm{v})
		if err != nil || string(b) != want {
			t.Errorf("got %s (%v), not %s", b, err, want)
		}
	}
}
