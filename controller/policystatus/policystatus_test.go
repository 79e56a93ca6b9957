package policystatus

import (
	"fmt"
	"strings"
	"testing"

	arv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/managed"
	"proa/controller/controllertest"
	"proa/openapi"
	"proa/resource/builtin"
)

func rule(group, version string, resources ...string) arv1.NamedRuleWithOperations {
	return arv1.NamedRuleWithOperations{RuleWithOperations: arv1.RuleWithOperations{
		Operations: []arv1.OperationType{arv1.Create}, Rule: arv1.Rule{APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources},
	}}
}

func policy(rules []arv1.NamedRuleWithOperations, validations ...arv1.Validation) *arv1.ValidatingAdmissionPolicy {
	return &arv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: arv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &arv1.MatchResources{ResourceRules: rules}, Validations: validations,
	}}
}

func TestResources(t *testing.T) {
	t.Parallel()
	p := policy([]arv1.NamedRuleWithOperations{rule("*", "v1", "pods"), rule("apps", "*", "pods"), rule("apps", "v1", "statefulsets", "deployments", "deployments/scale", "*")})
	if got := fmt.Sprint(resources(p)); got != "[apps/v1, Resource=deployments apps/v1, Resource=statefulsets]" {
		t.Errorf("got %s", got)
	}
}

// TestStatus: the author of a policy learns of names that do not exist, for each
// kind, and that the generation has been looked at.
func TestStatus(t *testing.T) {
	t.Parallel()
	table := builtin.Table()
	docs, err := openapi.New(table, managed.StandardTypes)
	if err != nil {
		t.Fatal(err)
	}
	env := apitest.Start(t, apitest.WithTable(table), apitest.WithConfig(func(c *apiserver.Config) {
		c.Mounts = []apiserver.Mount{{Prefix: "/openapi", Handler: docs, Paths: []string{"/openapi/v3"}}}
	}))
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	policies := env.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	p := policy([]arv1.NamedRuleWithOperations{rule("apps", "v1", "deployments", "replicasets")},
		arv1.Validation{Expression: "object.spec.replicas > 1"},
		arv1.Validation{Expression: "object.spec.replicas > '1'", MessageExpression: "'wants: ' + variables.name"},
		arv1.Validation{Expression: "object.spec.strategy.type == 'Recreate'"})
	p.Spec.Variables = []arv1.Variable{{Name: "name", Expression: "object.metadata.nome"}}
	if p, err = policies.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, func() string {
		if p, err = policies.Get(t.Context(), "p", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		if p.Status.ObservedGeneration != p.Generation {
			return "the policy has not been looked at"
		}
		return ""
	})
	want := []struct{ at, kinds, text string }{
		{"spec.validations[1].expression", "apps/v1, Kind=Deployment apps/v1, Kind=ReplicaSet", "found no matching overload for '_>_' applied to '(int, string)'"},
		{"spec.validations[2].expression", "apps/v1, Kind=ReplicaSet", "undefined field 'strategy'"},
	}
	got := p.Status.TypeChecking.ExpressionWarnings
	if len(got) != len(want) {
		t.Fatalf("warned of %+v", got)
	}
	for i, w := range want {
		for _, k := range strings.Split(w.kinds, " apps") {
			if !strings.Contains(got[i].Warning, strings.TrimPrefix(k, "apps")+": ERROR") {
				t.Errorf("not of %s: %s", k, got[i].Warning)
			}
		}
		if got[i].FieldRef != w.at || !strings.Contains(got[i].Warning, w.text) {
			t.Errorf("warned of %+v, want %+v", got[i], w)
		}
	}
	p.Spec.Validations = p.Spec.Validations[:1]
	if p, err = policies.Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	controllertest.Until(t, func() string {
		if p, err = policies.Get(t.Context(), "p", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		if c := p.Status.TypeChecking; p.Status.ObservedGeneration != p.Generation || c != nil && len(c.ExpressionWarnings) > 0 {
			return fmt.Sprintf("warned of %+v", p.Status)
		}
		return ""
	})
}
