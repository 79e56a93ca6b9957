package tolerationseconds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func TestPlugin(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		has  []corev1.Toleration
		want map[string]int64
	}{
		"nothing said":        {nil, map[string]int64{corev1.TaintNodeNotReady: 300, corev1.TaintNodeUnreachable: 60}},
		"one said":            {[]corev1.Toleration{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute}}, map[string]int64{corev1.TaintNodeUnreachable: 60}},
		"everything":          {[]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, nil},
		"another effect only": {[]corev1.Toleration{{Effect: corev1.TaintEffectNoSchedule}}, map[string]int64{corev1.TaintNodeNotReady: 300, corev1.TaintNodeUnreachable: 60}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{Spec: corev1.PodSpec{Tolerations: test.has}}
			if _, err := admissiontest.Run(t.Context(), New(300, 60), &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Object: pod}); err != nil {
				t.Fatal(err)
			}
			added := pod.Spec.Tolerations[len(test.has):]
			if len(added) != len(test.want) {
				t.Errorf("added %v", added)
			}
			for _, a := range added {
				if *a.TolerationSeconds != test.want[a.Key] || a.Effect != corev1.TaintEffectNoExecute || a.Operator != corev1.TolerationOpExists {
					t.Errorf("added %v", a)
				}
			}
		})
	}
}
