package expression

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	limits "k8s.io/apiserver/pkg/apis/cel"
	kubecel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// Budgets of evaluation, in CEL's units of cost.
const (
	// Budget is what all expressions of a policy may cost for one request.
	Budget = limits.RuntimeCELCostBudget
	// ConditionBudget is what the match conditions of a webhook or policy may
	// cost for one request.
	ConditionBudget = limits.RuntimeCELCostBudgetMatchConditions
	// MaxMessage is the length in bytes of the longest computed message.
	MaxMessage = limits.MaxEvaluatedMessageExpressionSizeBytes
)

// Values are what expressions see of a request: trees of JSON as they come out
// of a decoder, or nil.
type Values struct {
	Object, OldObject, Params, Request, Namespace any
	// Authorizer and RequestResource are nil where an expression does not see
	// them.
	Authorizer, RequestResource ref.Val
}

// Scope is where expressions are evaluated: the values that they see and what
// they may still cost. It belongs to one goroutine.
type Scope struct {
	values    Values
	variables []variable
	budget    int64

	ctx   context.Context
	lazy  *lazy.MapValue
	spent int64 // by variables, since the last expression
}

// NewScope makes a scope for the programs of c, which may be nil for [Plain]
// ones.
func (c *Compiler) NewScope(ctx context.Context, v Values, budget int64) *Scope {
	s := &Scope{values: v, budget: budget, ctx: ctx}
	if c != nil {
		s.variables = c.declared
		if c.variables != nil {
			s.lazy = lazy.NewMapValue(c.variables)
			for _, v := range c.declared {
				s.lazy.Append(v.name, func(*lazy.MapValue) ref.Val { return s.compute(v) })
			}
		}
	}
	return s
}

// Left is what has not been spent of the budget.
func (s *Scope) Left() int64 { return s.budget }

// compute evaluates a variable.
func (s *Scope) compute(v variable) ref.Val {
	if v.program.Err != nil {
		return types.NewErr("composited variable %q fails to compile: %v", v.name, v.program.Err)
	}
	value, details, err := v.program.program.ContextEval(s.ctx, s)
	if details == nil {
		return types.NewErr("unable to get evaluation details of variable %q", v.name)
	}
	cost := details.ActualCost()
	if cost == nil {
		return types.NewErr("unable to calculate cost of variable %q", v.name)
	}
	s.spent = plus(s.spent, *cost)
	if err != nil {
		return types.NewErr("composited variable %q fails to evaluate: %v", v.name, err)
	}
	return value
}

func plus(a int64, b uint64) int64 {
	if b > math.MaxInt64 || a > math.MaxInt64-int64(b) {
		return math.MaxInt64
	}
	return a + int64(b)
}

// ResolveName implements interpreter.Activation.
func (s *Scope) ResolveName(name string) (any, bool) {
	v := &s.values
	switch name {
	case "object":
		return v.Object, true
	case "oldObject":
		return v.OldObject, true
	case "params":
		return v.Params, true
	case "request":
		return v.Request, true
	case "namespaceObject":
		return v.Namespace, true
	case "authorizer":
		return v.Authorizer, v.Authorizer != nil
	case "authorizer.requestResource":
		return v.RequestResource, v.RequestResource != nil
	case "variables":
		return s.lazy, true
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (s *Scope) Parent() interpreter.Activation { return nil }

// Eval evaluates an expression and pays for it. After an error for which
// [Fatal] holds nothing more may be evaluated; any other is about this
// expression alone.
func (s *Scope) Eval(p *Program) (ref.Val, error) {
	if p.Err != nil {
		return nil, &kubecel.Error{Type: kubecel.ErrorTypeInvalid, Detail: fmt.Sprintf("compilation error: %v", p.Err), Cause: p.Err}
	}
	value, details, err := p.program.ContextEval(s.ctx, s)
	cost := s.spent
	s.spent = 0
	if details == nil || details.ActualCost() == nil {
		s.budget = 0
		return nil, &kubecel.Error{
			Type:   kubecel.ErrorTypeInternal,
			Detail: fmt.Sprintf("runtime cost could not be calculated for expression: %v, no further expression will be run", p.Text),
		}
	}
	if cost = plus(cost, *details.ActualCost()); cost > s.budget {
		s.budget = 0
		return nil, &kubecel.Error{
			Type:   kubecel.ErrorTypeInvalid,
			Detail: "validation failed due to running out of cost budget, no further validation rules will be run",
			Cause:  kubecel.ErrOutOfBudget,
		}
	}
	s.budget -= cost
	if err != nil {
		return nil, &kubecel.Error{Type: kubecel.ErrorTypeInvalid, Detail: fmt.Sprintf("expression '%v' resulted in error: %v", p.Text, err)}
	}
	return value, nil
}

// Fatal reports whether an error of Eval ends all evaluation.
func Fatal(err error) bool {
	return errors.Is(err, kubecel.ErrOutOfBudget) || errors.Is(err, kubecel.ErrInternal)
}

// SetObjects sets the object and the old one, of which each may be missing.
func (v *Values) SetObjects(obj, old map[string]any) {
	// A nil map in an interface is no null to CEL.
	if obj != nil {
		v.Object = obj
	}
	if old != nil {
		v.OldObject = old
	}
}
