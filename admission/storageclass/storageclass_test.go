package storageclass

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func class(name, mark string, age time.Duration) *storagev1.StorageClass {
	c := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}}
	if mark != "" {
		c.Annotations = map[string]string{mark: "true"}
	}
	return c
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		w     admissiontest.World
		claim corev1.PersistentVolumeClaim
		want  *string
	}{
		"no default":        {w: admissiontest.World{class("a", "", 0)}},
		"default":           {w: admissiontest.World{class("a", "", 0), class("b", isDefault, 0)}, want: ptr.To("b")},
		"the newest":        {w: admissiontest.World{class("a", isDefault, time.Hour), class("b", isDefaultBeta, 0), class("c", isDefault, time.Minute)}, want: ptr.To("b")},
		"the first by name": {w: admissiontest.World{class("b", isDefault, 0), class("a", isDefault, 0)}, want: ptr.To("a")},
		"none is wanted":    {w: admissiontest.World{class("a", isDefault, 0)}, claim: corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: ptr.To("")}}, want: ptr.To("")},
		"annotated":         {w: admissiontest.World{class("a", isDefault, 0)}, claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.BetaStorageClassAnnotation: "x"}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := admissiontest.Run(t.Context(), New(test.w), &admission.Attributes{Operation: admission.Create, Definition: core.PersistentVolumeClaim(), Object: &test.claim}); err != nil {
				t.Fatal(err)
			}
			if got := test.claim.Spec.StorageClassName; ptr.Deref(got, "-") != ptr.Deref(test.want, "-") {
				t.Errorf("got %v", ptr.Deref(got, "-"))
			}
		})
	}
}
