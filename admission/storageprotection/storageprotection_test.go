package storageprotection

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource"
	"proa/resource/core"
)

func TestPlugin(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]struct {
		def *resource.Definition
		obj resource.Object
	}{
		"kubernetes.io/pvc-protection": {core.PersistentVolumeClaim(), &corev1.PersistentVolumeClaim{}},
		"kubernetes.io/pv-protection":  {core.PersistentVolume(), &corev1.PersistentVolume{}},
	} {
		o.obj.SetFinalizers([]string{"other"})
		for range 2 {
			if _, err := admissiontest.Run(t.Context(), New(), &admission.Attributes{Operation: admission.Create, Definition: o.def, Object: o.obj}); err != nil {
				t.Fatal(err)
			}
			if got := o.obj.GetFinalizers(); !slices.Equal(got, []string{"other", want}) {
				t.Errorf("got %v, want %s", got, want)
			}
		}
	}
	if handled, _ := admissiontest.Run(t.Context(), New(), &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Object: &corev1.Pod{}}); handled {
		t.Error("pods are not its business")
	}
}
