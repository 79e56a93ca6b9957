package runtimeclass

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func overhead(cpu string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	gpu := corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists}
	world := admissiontest.World{
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "plain"}, Handler: "runc"},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "costly"}, Handler: "vm", Overhead: &nodev1.Overhead{PodFixed: overhead("10m")}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "placed"}, Handler: "vm", Scheduling: &nodev1.Scheduling{
			NodeSelector: map[string]string{"vm": "yes"}, Tolerations: []corev1.Toleration{gpu},
		}},
	}
	tests := map[string]struct {
		spec, want corev1.PodSpec
		refusal    string
	}{
		"none":              {},
		"no overhead":       {spec: corev1.PodSpec{RuntimeClassName: ptr.To("plain")}, want: corev1.PodSpec{RuntimeClassName: ptr.To("plain")}},
		"missing":           {spec: corev1.PodSpec{RuntimeClassName: ptr.To("gone")}, refusal: `pod rejected: RuntimeClass "gone" not found`},
		"overhead":          {spec: corev1.PodSpec{RuntimeClassName: ptr.To("costly")}, want: corev1.PodSpec{RuntimeClassName: ptr.To("costly"), Overhead: overhead("10m")}},
		"the same overhead": {spec: corev1.PodSpec{RuntimeClassName: ptr.To("costly"), Overhead: overhead("0.01")}, want: corev1.PodSpec{RuntimeClassName: ptr.To("costly"), Overhead: overhead("10m")}},
		"another overhead":  {spec: corev1.PodSpec{RuntimeClassName: ptr.To("costly"), Overhead: overhead("5m")}, refusal: "doesn't match"},
		"overhead alone":    {spec: corev1.PodSpec{Overhead: overhead("5m")}, refusal: "without corresponding RuntimeClass"},
		"placed": {
			spec: corev1.PodSpec{RuntimeClassName: ptr.To("placed"), NodeSelector: map[string]string{"disk": "ssd"}, Tolerations: []corev1.Toleration{gpu}},
			want: corev1.PodSpec{RuntimeClassName: ptr.To("placed"), NodeSelector: map[string]string{"disk": "ssd", "vm": "yes"}, Tolerations: []corev1.Toleration{gpu}},
		},
		"elsewhere": {spec: corev1.PodSpec{RuntimeClassName: ptr.To("placed"), NodeSelector: map[string]string{"vm": "no"}}, refusal: "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{Spec: test.spec}
			_, err := admissiontest.Run(t.Context(), New(world), &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Object: pod})
			if test.refusal != "" {
				if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.refusal) {
					t.Fatalf("got %v, want it forbidden with %q", err, test.refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !equality.Semantic.DeepEqual(pod.Spec, test.want) {
				t.Errorf("got %+v, want %+v", pod.Spec, test.want)
			}
		})
	}
}
