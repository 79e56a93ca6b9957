package expression

import (
	"fmt"

	"github.com/google/cel-go/cel"
	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubecel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Checker checks expressions against what objects of a kind look like, which
// evaluation does not know: it finds names that do not exist.
type Checker struct {
	object, params *kubecel.DeclType
	hasParams      bool
	variables      []arv1.Variable
}

// NewChecker checks against the schema of a kind, with all references resolved,
// and that of parameters. Either may be nil, and then may be anything; without
// hasParams expressions have no parameters.
func NewChecker(kind schema.GroupVersionKind, object *spec.Schema, hasParams bool, params *spec.Schema, variables []arv1.Variable) *Checker {
	return &Checker{object: typeOf(object, "object."+kind.Kind), params: typeOf(params, "params"), hasParams: hasParams, variables: variables}
}

func typeOf(s *spec.Schema, name string) *kubecel.DeclType {
	if s == nil {
		return nil
	}
	t := common.SchemaDeclType(&openapi.Schema{Schema: s}, true)
	if t == nil {
		return nil
	}
	return t.MaybeAssignTypeName(name)
}

// Check says what is wrong with an expression, nothing where nothing is.
func (c *Checker) Check(text string) (issues string, err error) {
	compiler, err := c.compiler()
	if err != nil {
		return "", err
	}
	for _, v := range c.variables {
		output := kubecel.DynType
		if t, issues := compiler.check(v.Expression); issues == "" {
			output = declared(t)
		}
		compiler.variables.Fields[v.Name] = kubecel.NewDeclField(v.Name, output, true, nil, nil)
	}
	_, issues = compiler.check(text)
	return issues, nil
}

// compiler is one whose only environment has typed objects.
func (c *Checker) compiler() (*Compiler, error) {
	var options []cel.EnvOption
	types := []*kubecel.DeclType{namespaceType, requestType}
	declare := func(t *kubecel.DeclType, names ...string) {
		as := cel.DynType
		if t != nil {
			as = t.CelType()
			types = append(types, t)
		}
		for _, n := range names {
			options = append(options, cel.Variable(n, as))
		}
	}
	declare(c.object, "object", "oldObject")
	if c.hasParams {
		declare(c.params, "params")
	}
	options = append(options,
		cel.Variable("namespaceObject", namespaceType.CelType()),
		cel.Variable("request", requestType.CelType()),
		cel.Variable("authorizer", library.AuthorizerType),
		cel.Variable("authorizer.requestResource", library.ResourceCheckType))
	set, err := base().Extend(environment.VersionedOptions{IntroducedVersion: always, EnvOptions: options, DeclTypes: types})
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	return withVariables(set)
}

// check compiles an expression whatever it returns.
func (c *Compiler) check(text string) (*cel.Type, string) {
	ast, issues := c.base.StoredExpressionsEnv().Compile(text)
	if issues != nil {
		return nil, issues.String()
	}
	return ast.OutputType(), ""
}
