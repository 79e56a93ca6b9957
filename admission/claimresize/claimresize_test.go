package claimresize

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func claim(class, size string, phase corev1.PersistentVolumeClaimPhase) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
		}},
		Status: corev1.PersistentVolumeClaimStatus{Phase: phase},
	}
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	w := admissiontest.World{
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "grows"}, AllowVolumeExpansion: ptr.To(true)},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "stays"}},
	}
	const refused = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
	tests := map[string]struct {
		old, now *corev1.PersistentVolumeClaim
		want     string
	}{
		"grow":          {claim("grows", "1Gi", corev1.ClaimBound), claim("grows", "2Gi", corev1.ClaimBound), ""},
		"unbound":       {claim("grows", "1Gi", corev1.ClaimPending), claim("grows", "2Gi", corev1.ClaimPending), "Only bound persistent volume claims can be expanded"},
		"fixed class":   {claim("stays", "1Gi", corev1.ClaimBound), claim("stays", "2Gi", corev1.ClaimBound), refused},
		"no class":      {claim("", "1Gi", corev1.ClaimBound), claim("", "2Gi", corev1.ClaimBound), refused},
		"unknown class": {claim("x", "1Gi", corev1.ClaimBound), claim("x", "2Gi", corev1.ClaimBound), refused},
		"same size":     {claim("stays", "1Gi", corev1.ClaimBound), claim("stays", "1Gi", corev1.ClaimBound), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := admissiontest.Run(t.Context(), New(w), &admission.Attributes{Operation: admission.Update, Definition: core.PersistentVolumeClaim(), Name: "c", Object: test.now, Old: test.old})
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != `persistentvolumeclaims "c" is forbidden: `+test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
