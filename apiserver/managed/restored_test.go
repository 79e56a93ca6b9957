package managed

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
	"proa/resource/apps"
	"proa/resource/certificates"
	"proa/resource/core"
	"proa/resource/flowcontrol"
)

// TestRestoredFieldsAreNotOwned: who writes what a kind restores does not own it.
func TestRestoredFieldsAreNotOwned(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		def         *resource.Definition
		subresource string
		want        string // fields that are owned after labels, annotations and an owner are written
	}{
		{apps.Deployment(), "", "f:annotations f:labels f:ownerReferences"},
		{apps.Deployment(), "status", "f:annotations f:ownerReferences"},
		{core.Pod(), "status", "f:annotations f:labels"},
		{flowcontrol.FlowSchema(), "status", ""},
		{certificates.CertificateSigningRequest(), "", "f:annotations f:labels f:ownerReferences"},
	} {
		obj := tt.def.New()
		obj.SetLabels(map[string]string{"a": "b"})
		obj.SetAnnotations(map[string]string{"a": "b"})
		obj.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "a", UID: "u"}})
		if err := tracker().Update(match(tt.def), tt.subresource, tt.def.New(), obj, "me", metav1.Now()); err != nil {
			t.Fatal(err)
		}
		var owned []string
		for _, f := range []string{"f:annotations", "f:labels", "f:ownerReferences"} {
			if strings.Contains(describe(obj.GetManagedFields()), f) {
				owned = append(owned, f)
			}
		}
		if got := strings.Join(owned, " "); got != tt.want {
			t.Errorf("%s %q: %q is owned, not %q", tt.def.GroupResource(), tt.subresource, got, tt.want)
		}
	}
}
