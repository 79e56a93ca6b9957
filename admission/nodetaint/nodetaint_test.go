package nodetaint

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func TestPlugin(t *testing.T) {
	t.Parallel()
	node := &corev1.Node{}
	a := &admission.Attributes{Operation: admission.Create, Definition: core.Node(), Object: node}
	for range 2 {
		if _, err := admissiontest.Run(t.Context(), New(), a); err != nil {
			t.Fatal(err)
		}
		if len(node.Spec.Taints) != 1 || node.Spec.Taints[0] != (corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}) {
			t.Errorf("taints %v", node.Spec.Taints)
		}
	}
	a.Operation = admission.Update
	if handled, _ := admissiontest.Run(t.Context(), New(), a); handled {
		t.Error("an update is not a new node")
	}
}
