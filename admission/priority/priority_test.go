package priority

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
	"proa/resource/scheduling"
)

func TestPods(t *testing.T) {
	t.Parallel()
	class := func(name string, value int32, isDefault bool) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: isDefault}
	}
	never := class("never", 7, false)
	never.PreemptionPolicy = ptr.To(corev1.PreemptNever)
	some := admissiontest.World{class("high", 100, false), never}
	withDefault := append(admissiontest.World{class("d2", 20, true), class("d1", 10, true)}, some...)
	tests := map[string]struct {
		w         admissiontest.World
		spec      corev1.PodSpec
		className string
		priority  int32
		policy    corev1.PreemptionPolicy
		want      string
	}{
		"none":            {w: some, policy: corev1.PreemptLowerPriority},
		"default":         {w: withDefault, className: "d1", priority: 10, policy: corev1.PreemptLowerPriority},
		"named":           {w: withDefault, spec: corev1.PodSpec{PriorityClassName: "high"}, className: "high", priority: 100, policy: corev1.PreemptLowerPriority},
		"never":           {w: some, spec: corev1.PodSpec{PriorityClassName: "never"}, className: "never", priority: 7, policy: corev1.PreemptNever},
		"unknown":         {w: some, spec: corev1.PodSpec{PriorityClassName: "x"}, want: `pods "p" is forbidden: no PriorityClass with name x was found`},
		"same number":     {w: some, spec: corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](100)}, className: "high", priority: 100, policy: corev1.PreemptLowerPriority},
		"another number":  {w: some, spec: corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](5)}, want: `pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 100 from the given PriorityClass name`},
		"another policy":  {w: some, spec: corev1.PodSpec{PreemptionPolicy: ptr.To(corev1.PreemptNever)}, want: `pods "p" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name`},
		"number, no name": {w: some, spec: corev1.PodSpec{Priority: ptr.To[int32](5)}, want: `pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: test.spec}
			_, err := admissiontest.Run(t.Context(), New(test.w), &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Name: "p", Object: pod})
			if test.want != "" {
				if err == nil || err.Error() != test.want {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := pod.Spec; s.PriorityClassName != test.className || *s.Priority != test.priority || *s.PreemptionPolicy != test.policy {
				t.Errorf("got %q %d %s", s.PriorityClassName, *s.Priority, *s.PreemptionPolicy)
			}
		})
	}
}

func TestOneDefault(t *testing.T) {
	t.Parallel()
	w := admissiontest.World{&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "a"}, GlobalDefault: true}}
	run := func(op admission.Operation, name string, isDefault bool) error {
		_, err := admissiontest.Run(t.Context(), New(w), &admission.Attributes{
			Operation: op, Definition: scheduling.PriorityClass(), Name: name,
			Object: &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, GlobalDefault: isDefault},
		})
		return err
	}
	if err := run(admission.Update, "a", true); err != nil {
		t.Error(err)
	}
	if err := run(admission.Create, "b", false); err != nil {
		t.Error(err)
	}
	want := `priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass a is already marked as default. Only one default can exist`
	for _, op := range []admission.Operation{admission.Create, admission.Update} {
		if err := run(op, "b", true); err == nil || err.Error() != want {
			t.Errorf("%s: %v", op, err)
		}
	}
}
