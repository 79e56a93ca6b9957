package match

import (
	"context"
	"slices"
	"strings"
	"testing"

	arv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"proa/admission"
	"proa/resource"
	"proa/resource/admissionregistration"
	"proa/resource/autoscaling"
	"proa/resource/core"
)

type world map[string]map[string]string

func (w world) Namespace(_ context.Context, name string) (*corev1.Namespace, error) {
	l, ok := w[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l}}, nil
}

var namespaces = world{"default": nil, "prod": {"env": "prod"}}

func about(op, group, version, scope string, resources ...string) arv1.RuleWithOperations {
	s := arv1.ScopeType(scope)
	return arv1.RuleWithOperations{Operations: []arv1.OperationType{arv1.OperationType(op)}, Rule: arv1.Rule{
		APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources, Scope: &s}}
}

func pods(op admission.Operation, subresource, namespace string) *admission.Attributes {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: namespace, Labels: map[string]string{"app": "web"}}}
	a := &admission.Attributes{Operation: op, Definition: core.Pod(), Subresource: subresource, Namespace: namespace, Name: "p", Object: pod}
	if op == admission.Delete {
		a.Object, a.Old = nil, pod
	}
	return a
}

func TestRules(t *testing.T) {
	t.Parallel()
	namespace := &admission.Attributes{Operation: admission.Create, Definition: core.Namespace(), Namespace: "default", Name: "default", Object: &corev1.Namespace{}}
	node := &admission.Attributes{Operation: admission.Create, Definition: core.Node(), Name: "n", Object: &corev1.Node{}}
	for name, c := range map[string]struct {
		rule arv1.RuleWithOperations
		a    *admission.Attributes
		want bool
	}{
		"as asked":                         {about("CREATE", "", "v1", "*", "pods"), pods(admission.Create, "", "default"), true},
		"all":                              {about("*", "*", "*", "*", "*/*"), pods(admission.Delete, "", "default"), true},
		"all and their subresources":       {about("*", "*", "*", "*", "*/*"), pods(admission.Update, "status", "default"), true},
		"all without subresources":         {about("*", "*", "*", "*", "*"), pods(admission.Update, "status", "default"), false},
		"one subresource":                  {about("*", "", "v1", "*", "pods/status"), pods(admission.Update, "status", "default"), true},
		"another subresource":              {about("*", "", "v1", "*", "pods/exec"), pods(admission.Update, "status", "default"), false},
		"all subresources of one":          {about("*", "", "v1", "*", "pods/*"), pods(admission.Connect, "exec", "default"), true},
		"one with all its subresources":    {about("*", "", "v1", "*", "pods/*"), pods(admission.Create, "", "default"), true},
		"one subresource of all":           {about("*", "", "v1", "*", "*/exec"), pods(admission.Connect, "exec", "default"), true},
		"another operation":                {about("UPDATE", "", "v1", "*", "pods"), pods(admission.Create, "", "default"), false},
		"another group":                    {about("*", "apps", "v1", "*", "pods"), pods(admission.Create, "", "default"), false},
		"another version":                  {about("*", "", "v2", "*", "pods"), pods(admission.Create, "", "default"), false},
		"another resource":                 {about("*", "", "v1", "*", "nodes"), pods(admission.Create, "", "default"), false},
		"what lies in a namespace":         {about("*", "", "v1", "Namespaced", "*"), pods(admission.Create, "", "default"), true},
		"what does not":                    {about("*", "", "v1", "Cluster", "*"), pods(admission.Create, "", "default"), false},
		"a node lies in none":              {about("*", "", "v1", "Namespaced", "*"), node, false},
		"a node is cluster scoped":         {about("*", "", "v1", "Cluster", "*"), node, true},
		"a namespace is cluster scoped":    {about("*", "", "v1", "Cluster", "*"), namespace, true},
		"a namespace lies in no namespace": {about("*", "", "v1", "Namespaced", "*"), namespace, false},
	} {
		h := &arv1.ValidatingWebhook{Rules: []arv1.RuleWithOperations{c.rule}, NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{}}
		s, err := OfWebhook(h).Match(t.Context(), c.a, namespaces)
		if err != nil || (s != nil) != c.want {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	prod := &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	bad := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Bad"}}}
	other := pods(admission.Update, "", "default")
	other.Old, other.Object = other.Object, &corev1.Pod{}
	for name, c := range map[string]struct {
		namespace, object *metav1.LabelSelector
		a                 *admission.Attributes
		want              bool
		fails             string
	}{
		"namespace":           {prod, nil, pods(admission.Create, "", "prod"), true, ""},
		"another namespace":   {prod, nil, pods(admission.Create, "", "default"), false, ""},
		"object":              {nil, web, pods(admission.Create, "", "default"), true, ""},
		"object as it was":    {nil, web, other, true, ""},
		"object that goes":    {nil, web, pods(admission.Delete, "", "default"), true, ""},
		"options":             {nil, web, &admission.Attributes{Operation: admission.Connect, Definition: core.Pod(), Subresource: "exec", Namespace: "default", Object: &corev1.PodExecOptions{}}, false, ""},
		"no namespace":        {prod, nil, &admission.Attributes{Operation: admission.Create, Definition: core.Node(), Object: &corev1.Node{}}, true, ""},
		"the namespace made":  {prod, nil, &admission.Attributes{Operation: admission.Create, Definition: core.Namespace(), Namespace: "new", Name: "new", Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"env": "prod"}}}}, true, ""},
		"gone":                {prod, nil, pods(admission.Create, "", "gone"), false, `namespaces "gone" not found`},
		"gone, but not asked": {prod, web, &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Namespace: "gone", Object: &corev1.Pod{}}, false, ""},
		"a bad one":           {bad, nil, pods(admission.Create, "", "default"), false, `"Bad" is not a valid label selector operator`},
	} {
		for _, s := range []**metav1.LabelSelector{&c.namespace, &c.object} {
			if *s == nil {
				*s = &metav1.LabelSelector{}
			}
		}
		h := &arv1.ValidatingWebhook{Rules: []arv1.RuleWithOperations{about("*", "*", "*", "*", "*/*")}, NamespaceSelector: c.namespace, ObjectSelector: c.object}
		s, err := OfWebhook(h).Match(t.Context(), c.a, namespaces)
		if (s != nil) != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
}

func TestEquivalence(t *testing.T) {
	t.Parallel()
	def := autoscaling.HorizontalPodAutoscaler()
	inV := func(v string) *resource.Served {
		return &def.Served[slices.IndexFunc(def.Served, func(s resource.Served) bool { return s.GroupVersion.Version == v })]
	}
	for _, c := range []struct {
		rules, asked, want string
		policy             arv1.MatchPolicyType
	}{
		{"v1", "v1", "v1", arv1.Equivalent}, {"v1", "v2", "v1", arv1.Equivalent}, {"v2", "v1", "v2", arv1.Equivalent},
		{"*", "v2", "v2", arv1.Equivalent}, {"v1", "v2", "", arv1.Exact}, {"v3", "v2", "", arv1.Equivalent},
	} {
		a := &admission.Attributes{Operation: admission.Create, Definition: def, Served: inV(c.asked), Namespace: "default", Object: def.New()}
		p := &arv1.MatchResources{MatchPolicy: &c.policy, NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
			ResourceRules: []arv1.NamedRuleWithOperations{{RuleWithOperations: about("*", "autoscaling", c.rules, "*", "horizontalpodautoscalers")}}}
		s, err := OfPolicy(p).Match(t.Context(), a, namespaces)
		got := ""
		if s != nil {
			got = s.GroupVersion.Version
		}
		if err != nil || got != c.want {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}

func TestNamesAndExclusion(t *testing.T) {
	t.Parallel()
	all := arv1.NamedRuleWithOperations{RuleWithOperations: about("*", "*", "*", "*", "*")}
	named := func(names ...string) arv1.NamedRuleWithOperations {
		return arv1.NamedRuleWithOperations{ResourceNames: names, RuleWithOperations: all.RuleWithOperations}
	}
	for name, c := range map[string]struct {
		rules, but []arv1.NamedRuleWithOperations
		want       bool
	}{
		"no rules are all rules": {nil, nil, true},
		"named":                  {[]arv1.NamedRuleWithOperations{named("q", "p")}, nil, true},
		"another":                {[]arv1.NamedRuleWithOperations{named("q")}, nil, false},
		"excluded":               {[]arv1.NamedRuleWithOperations{all}, []arv1.NamedRuleWithOperations{named("p")}, false},
		"excluded of all":        {nil, []arv1.NamedRuleWithOperations{all}, false},
		"another excluded":       {[]arv1.NamedRuleWithOperations{all}, []arv1.NamedRuleWithOperations{named("q")}, true},
	} {
		p := &arv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{}, ResourceRules: c.rules, ExcludeResourceRules: c.but}
		s, err := OfPolicy(p).Match(t.Context(), pods(admission.Create, "", "default"), namespaces)
		if err != nil || (s != nil) != c.want {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
}

// TestMoreRulesMatchMore: what a set of rules matches, a larger one does too,
// and what is excluded never matches.
func TestMoreRulesMatchMore(t *testing.T) {
	t.Parallel()
	any := rapid.Custom(func(t *rapid.T) arv1.NamedRuleWithOperations {
		return arv1.NamedRuleWithOperations{RuleWithOperations: about(
			rapid.SampledFrom([]string{"*", "CREATE", "DELETE"}).Draw(t, "op"), rapid.SampledFrom([]string{"*", "", "apps"}).Draw(t, "group"),
			rapid.SampledFrom([]string{"*", "v1", "v2"}).Draw(t, "version"), rapid.SampledFrom([]string{"*", "Cluster", "Namespaced"}).Draw(t, "scope"),
			rapid.SampledFrom([]string{"*", "*/*", "pods", "pods/*", "pods/status", "*/status"}).Draw(t, "resource"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		rules, more := rapid.SliceOfN(any, 1, 4).Draw(t, "rules"), rapid.SliceOfN(any, 0, 3).Draw(t, "more")
		a := pods(rapid.SampledFrom([]admission.Operation{admission.Create, admission.Update, admission.Delete}).Draw(t, "operation"),
			rapid.SampledFrom([]string{"", "status"}).Draw(t, "subresource"), "default")
		match := func(rules, but []arv1.NamedRuleWithOperations) bool {
			p := &arv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{}, ResourceRules: rules, ExcludeResourceRules: but}
			s, err := OfPolicy(p).Match(context.Background(), a, namespaces)
			if err != nil {
				t.Fatal(err)
			}
			return s != nil
		}
		if match(rules, nil) && !match(append(slices.Clone(rules), more...), nil) {
			t.Fatal("more rules match less")
		}
		if match(more, nil) && len(more) > 0 && match(rules, more) {
			t.Fatal("what is excluded matches")
		}
	})
}

func TestExempt(t *testing.T) {
	t.Parallel()
	for _, d := range admissionregistration.Rows() {
		if !Exempt(d) {
			t.Errorf("%s can be held by what it configures", d.Kind)
		}
	}
	if Exempt(core.Pod()) {
		t.Error("pods are exempt")
	}
}
