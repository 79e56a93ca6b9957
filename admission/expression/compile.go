package expression

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apimachinery/pkg/util/version"
	limits "k8s.io/apiserver/pkg/apis/cel"
	kubecel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/apiserver/pkg/cel/mutation"
)

// Sees says what an expression sees beside the object, the request and the
// namespace.
type Sees struct {
	Params, Authorizer bool
	// Patch: it may make values of the types Object and JSONPatch.
	Patch bool
}

// What an expression may return.
var (
	Bool         = cel.BoolType
	String       = cel.StringType
	Null         = cel.NullType
	Any          = cel.AnyType
	Object       = cel.ObjectType(mutation.ObjectTypeName)
	JSONPatchOps = cel.ListType(cel.ObjectType(mutation.JSONPatchTypeName))
)

// Age of an expression: what is stored already may use everything that any
// release has had, what is new only what the release before understands too.
type Age = environment.Type

// The ages of expressions.
const (
	New    = environment.NewExpressions
	Stored = environment.StoredExpressions
)

// oldest is the release that new expressions must be understood by: the one
// before the release that is served, to which a cluster may go back.
var oldest = version.MajorMinor(1, 35)

// always: options that are there in every release.
var always = version.MajorMinor(1, 0)

// Type is what an expression returns.
type Type = cel.Type

// Program is a compiled expression, or the error that it has.
type Program struct {
	Text   string
	Output *cel.Type
	// Err says why the expression does not compile, nil for most.
	Err *kubecel.Error

	program cel.Program
}

// Compiler compiles the expressions of one policy. It is safe for concurrent
// use, and so are its programs.
type Compiler struct {
	mu   sync.Mutex
	base *environment.EnvSet
	envs map[Sees]*environment.EnvSet
	// variables is the type of the variable of that name, nil for a compiler
	// without them. A field is added as each is declared.
	variables *kubecel.DeclType
	declared  []variable
}

type variable struct {
	name    string
	program *Program
}

// base is shared by all compilers of the process.
func base() *environment.EnvSet { return environment.MustBaseEnvSet(oldest) }

// Plain compiles expressions without variables. All callers share it.
var Plain = sync.OnceValue(func() *Compiler {
	return &Compiler{base: base(), envs: map[Sees]*environment.EnvSet{}}
})

// NewCompiler makes a compiler for a policy that may declare variables.
func NewCompiler() *Compiler {
	c, err := withVariables(base())
	if err != nil {
		// The options are constants: this is a mistake in the program.
		panic(fmt.Sprintf("expression: variables: %v", err))
	}
	return c
}

func withVariables(set *environment.EnvSet) (*Compiler, error) {
	t := kubecel.NewObjectType("kubernetes.variables", map[string]*kubecel.DeclField{})
	set, err := set.Extend(environment.VersionedOptions{
		IntroducedVersion: always,
		EnvOptions:        []cel.EnvOption{cel.Variable("variables", t.CelType())},
		DeclTypes:         []*kubecel.DeclType{t},
	})
	if err != nil {
		return nil, err
	}
	return &Compiler{base: set, envs: map[Sees]*environment.EnvSet{}, variables: t}, nil
}

// Declare compiles a variable, which the expressions compiled after it see.
func (c *Compiler) Declare(name, text string, sees Sees, age Age) *Program {
	p := c.Compile(text, sees, age, Any)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.variables.Fields[name] = kubecel.NewDeclField(name, declared(p.Output), true, nil, nil)
	c.declared = append(c.declared, variable{name, p})
	return p
}

// Compile compiles an expression that returns one of some types; [Any] is
// every type.
func (c *Compiler) Compile(text string, sees Sees, age Age, returns ...*Type) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	set, err := c.env(sees)
	if err != nil {
		return failed(text, kubecel.ErrorTypeInternal, "unexpected error loading CEL environment: %v", err)
	}
	env, err := set.Env(age)
	if err != nil {
		return failed(text, kubecel.ErrorTypeInternal, "unexpected error loading CEL environment: %v", err)
	}
	ast, issues := env.Compile(text)
	if issues != nil {
		return failed(text, kubecel.ErrorTypeInvalid, "compilation failed: %v", issues.String())
	}
	if !returned(ast.OutputType(), returns) {
		if len(returns) == 1 {
			return failed(text, kubecel.ErrorTypeInvalid, "must evaluate to %v but got %v", returns[0].String(), ast.OutputType().String())
		}
		return failed(text, kubecel.ErrorTypeInvalid, "must evaluate to one of %v but got %v", returns, ast.OutputType().String())
	}
	p, err := env.Program(ast, cel.InterruptCheckFrequency(limits.CheckFrequency))
	if err != nil {
		return failed(text, kubecel.ErrorTypeInternal, "program instantiation failed: %v", err)
	}
	return &Program{Text: text, Output: ast.OutputType(), program: p}
}

func failed(text string, kind kubecel.ErrorType, format string, args ...any) *Program {
	return &Program{Text: text, Err: &kubecel.Error{Type: kind, Detail: fmt.Sprintf(format, args...)}}
}

func returned(got *cel.Type, want []*cel.Type) bool {
	for _, w := range want {
		if got.IsExactType(w) || w.IsExactType(Any) {
			return true
		}
	}
	return false
}

// env returns the environment of expressions that see so much.
func (c *Compiler) env(sees Sees) (*environment.EnvSet, error) {
	if set := c.envs[sees]; set != nil {
		return set, nil
	}
	options := []cel.EnvOption{
		cel.Variable("object", cel.DynType),
		cel.Variable("oldObject", cel.DynType),
		cel.Variable("namespaceObject", namespaceType.CelType()),
		cel.Variable("request", requestType.CelType()),
	}
	if sees.Params {
		options = append(options, cel.Variable("params", cel.DynType))
	}
	if sees.Authorizer {
		options = append(options,
			cel.Variable("authorizer", library.AuthorizerType),
			cel.Variable("authorizer.requestResource", library.ResourceCheckType))
	}
	added := []environment.VersionedOptions{
		{IntroducedVersion: always, EnvOptions: options, DeclTypes: []*kubecel.DeclType{namespaceType, requestType}},
		environment.StrictCostOpt,
	}
	set, err := c.base.Extend(added...)
	if err == nil && sees.Patch {
		set, err = set.Extend(environment.VersionedOptions{IntroducedVersion: always, EnvOptions: []cel.EnvOption{
			common.ResolverEnvOption(&mutation.DynamicTypeResolver{}),
			environment.UnversionedLib(library.JSONPatch),
		}})
	}
	if err != nil {
		return nil, err
	}
	c.envs[sees] = set
	return set, nil
}

// declared turns the type of a variable into that of a field, so that what is
// known of it is known where it is used.
func declared(t *cel.Type) *kubecel.DeclType {
	if t == nil {
		return kubecel.DynType
	}
	if d := scalars[t]; d != nil {
		return d
	}
	if t.HasTrait(traits.ContainerType) && t.HasTrait(traits.IndexerType) {
		switch p := t.Parameters(); len(p) {
		case 1:
			return kubecel.NewListType(declared(p[0]), -1)
		case 2:
			return kubecel.NewMapType(declared(p[0]), declared(p[1]), -1)
		}
	}
	return kubecel.DynType
}

var scalars = map[*cel.Type]*kubecel.DeclType{
	cel.AnyType: kubecel.AnyType, cel.BoolType: kubecel.BoolType, cel.BytesType: kubecel.BytesType,
	cel.DoubleType: kubecel.DoubleType, cel.DurationType: kubecel.DurationType, cel.IntType: kubecel.IntType,
	cel.NullType: kubecel.NullType, cel.StringType: kubecel.StringType, cel.TimestampType: kubecel.TimestampType,
	cel.UintType: kubecel.UintType,
}
