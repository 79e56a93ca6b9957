package podtopology

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func TestPlugin(t *testing.T) {
	t.Parallel()
	w := admissiontest.World{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{
		corev1.LabelTopologyZone: "z", corev1.LabelTopologyRegion: "r", corev1.LabelHostname: "h",
	}}}}
	want := map[string]string{corev1.LabelTopologyZone: "z", corev1.LabelTopologyRegion: "r"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyZone: "mine"}}, Spec: corev1.PodSpec{NodeName: "n"}}
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}
	stray := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "gone"}}
	run := func(a *admission.Attributes) {
		t.Helper()
		a.Operation, a.Definition = admission.Create, core.Pod()
		if _, err := admissiontest.Run(t.Context(), New(w), a); err != nil {
			t.Fatal(err)
		}
	}
	run(&admission.Attributes{Object: pod})
	run(&admission.Attributes{Subresource: "binding", Object: binding})
	run(&admission.Attributes{Subresource: "binding", Object: stray})
	if !maps.Equal(pod.Labels, want) || !maps.Equal(binding.Labels, want) || len(stray.Labels) != 0 {
		t.Errorf("pod %v, binding %v, stray %v", pod.Labels, binding.Labels, stray.Labels)
	}
}
