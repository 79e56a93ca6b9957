package paramaccess_test

import (
	"context"
	"strings"
	"testing"

	arv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/admission/paramaccess"
	"proa/auth"
	"proa/resource"
	ar "proa/resource/admissionregistration"
	"proa/resource/builtin"
)

// policies has one validating policy, "p", with config maps as parameters.
type policies struct{}

func (policies) ValidatingAdmissionPolicy(_ context.Context, name string) (*arv1.ValidatingAdmissionPolicy, error) {
	if name != "p" {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, name)
	}
	return &arv1.ValidatingAdmissionPolicy{Spec: arv1.ValidatingAdmissionPolicySpec{ParamKind: &arv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"}}}, nil
}

func (policies) MutatingAdmissionPolicy(_ context.Context, name string) (*arv1.MutatingAdmissionPolicy, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{}, name)
}

// TestNobodyReadsByPolicy: a policy cannot be used to learn of objects that its
// author may not read.
func TestNobodyReadsByPolicy(t *testing.T) {
	t.Parallel()
	policy := func(k arv1.ParamKind) *arv1.ValidatingAdmissionPolicy {
		return &arv1.ValidatingAdmissionPolicy{Spec: arv1.ValidatingAdmissionPolicySpec{ParamKind: &k}}
	}
	binding := func(policy string, r arv1.ParamRef) *arv1.ValidatingAdmissionPolicyBinding {
		return &arv1.ValidatingAdmissionPolicyBinding{Spec: arv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: policy, ParamRef: &r}}
	}
	secrets := arv1.ParamKind{APIVersion: "v1", Kind: "Secret"}
	for name, c := range map[string]struct {
		def      *resource.Definition
		obj, old resource.Object
		// may is what the user may do: verb, resource, namespace and name.
		may, want string
	}{
		"all of the kind":    {ar.ValidatingAdmissionPolicy(), policy(secrets), nil, "get secrets * *", ""},
		"some of the kind":   {ar.ValidatingAdmissionPolicy(), policy(secrets), nil, "get secrets default a", `spec.paramKind: Forbidden: user jane must have "get" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)`},
		"a kind unknown":     {ar.ValidatingAdmissionPolicy(), policy(arv1.ParamKind{APIVersion: "a.b/v1", Kind: "C"}), nil, "get secrets * *", "spec.paramKind: Forbidden"},
		"as it was":          {ar.ValidatingAdmissionPolicy(), policy(secrets), policy(secrets), "", ""},
		"no parameters":      {ar.ValidatingAdmissionPolicy(), &arv1.ValidatingAdmissionPolicy{}, nil, "", ""},
		"the one named":      {ar.ValidatingAdmissionPolicyBinding(), binding("p", arv1.ParamRef{Namespace: "n", Name: "a"}), nil, "get configmaps n a", ""},
		"another than named": {ar.ValidatingAdmissionPolicyBinding(), binding("p", arv1.ParamRef{Namespace: "n", Name: "a"}), nil, "get configmaps n b", `spec.paramRef: Forbidden: user jane does not have "get" permission on the object referenced by paramRef`},
		"selected":           {ar.ValidatingAdmissionPolicyBinding(), binding("p", arv1.ParamRef{Namespace: "n", Selector: &metav1.LabelSelector{}}), nil, "list configmaps n ", ""},
		"of an unknown policy": {ar.ValidatingAdmissionPolicyBinding(), binding("q", arv1.ParamRef{Namespace: "n", Name: "a"}), nil, "get configmaps n a",
			`spec.paramRef: Forbidden: unable to get policy q to determine minimum required permissions and user jane does not have "get" permission for all groups, versions and resources`},
		"of an unknown policy, with the right to everything": {ar.ValidatingAdmissionPolicyBinding(), binding("q", arv1.ParamRef{Namespace: "n", Name: "a"}), nil, "get * n a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			authorizer := auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
				if strings.Join([]string{a.Verb, a.Resource, a.Namespace, a.Name}, " ") == c.may {
					return auth.Allow, "", nil
				}
				return auth.NoOpinion, "", nil
			})
			p := paramaccess.New(builtin.Table(), policies{}, authorizer)
			a := &admission.Attributes{Operation: admission.Create, Definition: c.def, Object: c.obj, User: &auth.User{Name: "jane"}}
			if c.old != nil {
				a.Operation, a.Old = admission.Update, c.old
			}
			handled, err := admissiontest.Run(t.Context(), p, a)
			if !handled {
				t.Fatal("not looked at")
			}
			if c.want == "" != (err == nil) || err != nil && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
