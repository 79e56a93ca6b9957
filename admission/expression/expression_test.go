package expression

import (
	"context"
	"strings"
	"testing"

	"github.com/google/cel-go/common/types"
	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

func values() Values {
	v := Values{Request: map[string]any{"name": "a", "operation": "CREATE"}}
	v.SetObjects(map[string]any{"metadata": map[string]any{"name": "a"}, "spec": map[string]any{"replicas": int64(3)}}, nil)
	return v
}

func TestEval(t *testing.T) {
	t.Parallel()
	c := NewCompiler()
	c.Declare("double", "object.spec.replicas * 2", Sees{}, New)
	c.Declare("broken", "object.nothing", Sees{}, New)
	for text, want := range map[string]string{
		"object.spec.replicas == 3":                                            "true",
		"oldObject == null && params == null":                                  "true",
		"variables.double == 6":                                                "true",
		"namespaceObject == null":                                              "true",
		"request.name == object.metadata.name":                                 "true",
		"object.spec.replicas > 5 || variables.double > 5":                     "true",
		"variables.broken == 1":                                                `expression 'variables.broken == 1' resulted in error: composited variable "broken" fails to evaluate: no such key: nothing`,
		"object.missing":                                                       "must evaluate to bool but got dyn",
		"quantity('1Gi').isGreaterThan(quantity('1Mi')) && isURL('https://a')": "true",
	} {
		p := c.Compile(text, Sees{Params: true}, New, Bool)
		got, err := c.NewScope(t.Context(), values(), Budget).Eval(p)
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			text = map[bool]string{true: "true", false: "false"}[got == types.True]
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s: got %s, want %s", p.Text, text, want)
		}
	}
}

// TestVariablesAreComputedOnce: and are paid for, by the expression that reads
// them first.
func TestVariablesAreComputedOnce(t *testing.T) {
	t.Parallel()
	c := NewCompiler()
	c.Declare("v", "[1,2,3,4,5,6,7,8].map(x, [1,2,3,4,5,6,7,8].map(y, x * y)).size()", Sees{}, New)
	p := c.Compile("variables.v == 8", Sees{}, New, Bool)
	s := c.NewScope(t.Context(), values(), Budget)
	var costs []int64
	for range 2 {
		before := s.Left()
		if _, err := s.Eval(p); err != nil {
			t.Fatal(err)
		}
		costs = append(costs, before-s.Left())
	}
	if costs[0] < 10*costs[1] || costs[1] == 0 {
		t.Errorf("cost %v", costs)
	}
}

// TestBudgetIsFinal: once it is spent nothing more is evaluated.
func TestBudgetIsFinal(t *testing.T) {
	t.Parallel()
	c := Plain()
	s := c.NewScope(t.Context(), values(), 5)
	p := c.Compile("[1,2,3,4,5,6,7,8].all(x, x < 9)", Sees{}, New, Bool)
	for range 2 {
		if _, err := s.Eval(p); !Fatal(err) || !strings.Contains(err.Error(), "running out of cost budget") {
			t.Errorf("got %v", err)
		}
	}
	if Fatal(nil) {
		t.Error("nothing is fatal")
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conditions []string
		match      bool
		fails      string
	}{
		"none":                 {nil, true, ""},
		"all hold":             {[]string{"true", "object.spec.replicas == 3"}, true, ""},
		"one does not":         {[]string{"true", "false"}, false, ""},
		"one fails":            {[]string{"true", "object.nothing == 1"}, false, "no such key: nothing"},
		"one fails, one is no": {[]string{"object.nothing == 1", "false"}, false, ""},
		"one does not compile": {[]string{"nonsense"}, false, "compilation error: compilation failed"},
	} {
		var given []arv1.MatchCondition
		for _, e := range c.conditions {
			given = append(given, arv1.MatchCondition{Name: "a", Expression: e})
		}
		match, err := Plain().CompileConditions(given, Sees{}).Match(Plain().NewScope(t.Context(), values(), ConditionBudget))
		if match != c.match || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: got %t, %v", name, match, err)
		}
	}
}

// TestCancelled: an expression ends with its request.
func TestCancelled(t *testing.T) {
	t.Parallel()
	p := Plain().Compile("object.list.all(x, object.list.all(y, x == y || x != y))", Sees{}, New, Bool)
	v := values()
	list := make([]any, 500)
	for i := range list {
		list[i] = int64(i)
	}
	v.SetObjects(map[string]any{"list": list}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Plain().NewScope(ctx, v, Budget).Eval(p); err == nil || !strings.Contains(err.Error(), "operation interrupted") {
		t.Errorf("got %v", err)
	}
}

func TestChecker(t *testing.T) {
	t.Parallel()
	object := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{
		"spec": {SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{
			"replicas": {SchemaProps: spec.SchemaProps{Type: []string{"integer"}, Format: "int32"}},
		}}},
	}}}
	c := NewChecker(schema.GroupVersionKind{Kind: "Thing"}, object, true, nil, []arv1.Variable{{Name: "n", Expression: "object.spec.replicas"}, {Name: "bad", Expression: "object.nothing"}})
	for text, want := range map[string]string{
		"object.spec.replicas > 1":                          "",
		"object.spec.replica > 1":                           "undefined field 'replica'",
		"variables.n == 'a'":                                "found no matching overload for '_==_' applied to '(int, string)'",
		"variables.bad == 1":                                "",
		"params.whatever == 1":                              "",
		"'any type'":                                        "",
		"request.operation == 1":                            "found no matching overload",
		"authorizer.requestResource.check('get').allowed()": "",
	} {
		issues, err := c.Check(text)
		if err != nil || (issues == "") != (want == "") || !strings.Contains(issues, want) {
			t.Errorf("%s: got %q, %v, want %q", text, issues, err, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"true", "object.a.b[0] == 'x'", "has(object.x) && variables.y", "Object{a: Object.a{b: [1]}}", "[JSONPatch{op: 'add', path: '/a', value: {'a': 1}}]", "params.x.all(y, y > 1)", "'\\u0000'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := Plain().Compile(text, Sees{Params: true, Patch: true}, New, Any)
		if p.Err == nil {
			_, _ = Plain().NewScope(t.Context(), values(), Budget).Eval(p) // must end, and not panic
		}
	})
}
