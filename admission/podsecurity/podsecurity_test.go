package podsecurity

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource"
	"proa/resource/apps"
	"proa/resource/core"
)

type world struct{ admissiontest.World }

func (w world) Pods(_ context.Context, ns string) ([]*corev1.Pod, error) {
	var list []*corev1.Pod
	for _, o := range w.World {
		if p, ok := o.(*corev1.Pod); ok && p.Namespace == ns {
			list = append(list, p)
		}
	}
	return list, nil
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	const enforce, warn = "pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/warn"
	privileged := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)}}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "free", Name: "p"}, Spec: privileged}
	w := world{admissiontest.World{
		namespace("free", nil), namespace("base", map[string]string{enforce: "baseline"}), namespace("warned", map[string]string{warn: "baseline"}), pod,
	}}
	p, err := New(w)
	if err != nil {
		t.Fatal(err)
	}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: privileged}}}
	const violation = `privileged (container "c" must not set securityContext.privileged=true)`
	tests := map[string]struct {
		op       admission.Operation
		def      *resource.Definition
		ns       string
		obj, old resource.Object
		want     string
		warning  string
	}{
		"privileged namespace": {op: admission.Create, def: core.Pod(), ns: "free", obj: pod},
		"baseline":             {op: admission.Create, def: core.Pod(), ns: "base", obj: pod, want: `pods "p" is forbidden: violates PodSecurity "baseline:latest": ` + violation},
		"warned":               {op: admission.Create, def: core.Pod(), ns: "warned", obj: pod, warning: `would violate PodSecurity "baseline:latest": ` + violation},
		"template is warned":   {op: admission.Create, def: apps.Deployment(), ns: "warned", obj: deployment, warning: `would violate PodSecurity "baseline:latest": ` + violation},
		"template is let in":   {op: admission.Create, def: apps.Deployment(), ns: "base", obj: deployment, warning: `would violate PodSecurity "baseline:latest": ` + violation},
		"bad label":            {op: admission.Create, def: core.Namespace(), obj: namespace("x", map[string]string{enforce: "strict"}), want: `must be one of privileged, baseline, restricted`},
		"stricter than its pods": {op: admission.Update, def: core.Namespace(), obj: namespace("free", map[string]string{enforce: "baseline"}), old: namespace("free", nil),
			warning: `existing pods in namespace "free" violate the new PodSecurity enforce level "baseline:latest"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var warnings []string
			a := &admission.Attributes{Operation: test.op, Definition: test.def, Namespace: test.ns, Name: test.obj.GetName(), Object: test.obj, Warn: func(s string) { warnings = append(warnings, s) }}
			if test.old != nil {
				a.Old = test.old
			}
			_, err := admissiontest.Run(t.Context(), p, a)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if got := strings.Join(warnings, "\n"); test.warning != "" && !strings.Contains(got, test.warning) || test.warning == "" && got != "" {
				t.Errorf("warnings %q\nwant %q", got, test.warning)
			}
		})
	}
}
