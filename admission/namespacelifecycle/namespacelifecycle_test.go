package namespacelifecycle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource"
	"proa/resource/core"
)

func TestPlugin(t *testing.T) {
	t.Parallel()
	w := admissiontest.World{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "live"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "dying"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}},
	}
	tests := map[string]struct {
		op       admission.Operation
		def      *resource.Definition
		ns, name string
		want     string
	}{
		"create":                {admission.Create, core.Pod(), "live", "p", ""},
		"create in none":        {admission.Create, core.Pod(), "none", "p", `namespaces "none" not found`},
		"update in none":        {admission.Update, core.Pod(), "none", "p", `namespaces "none" not found`},
		"delete in none":        {admission.Delete, core.Pod(), "none", "p", ""},
		"create in dying":       {admission.Create, core.Pod(), "dying", "p", `pods "p" is forbidden: unable to create new content in namespace dying because it is being terminated`},
		"update in dying":       {admission.Update, core.Pod(), "dying", "p", ""},
		"delete default":        {admission.Delete, core.Namespace(), "", "default", `namespaces "default" is forbidden: this namespace may not be deleted`},
		"delete kube-system":    {admission.Delete, core.Namespace(), "", "kube-system", `namespaces "kube-system" is forbidden: this namespace may not be deleted`},
		"delete kube-public":    {admission.Delete, core.Namespace(), "", "kube-public", `namespaces "kube-public" is forbidden: this namespace may not be deleted`},
		"delete another":        {admission.Delete, core.Namespace(), "", "live", ""},
		"create a namespace":    {admission.Create, core.Namespace(), "", "new", ""},
		"create cluster scoped": {admission.Create, core.Node(), "", "n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := admissiontest.Run(t.Context(), New(w), &admission.Attributes{Operation: test.op, Definition: test.def, Namespace: test.ns, Name: test.name})
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if test.ns == "dying" && err != nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				t.Error("the cause is missing")
			}
		})
	}
}
