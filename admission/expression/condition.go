package expression

import (
	"github.com/google/cel-go/common/types"
	arv1 "k8s.io/api/admissionregistration/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

// Conditions are the compiled match conditions of a webhook or policy.
type Conditions []*Program

// CompileConditions compiles match conditions, as far as they compile.
func (c *Compiler) CompileConditions(conditions []arv1.MatchCondition, sees Sees) Conditions {
	var compiled Conditions
	for i := range conditions {
		compiled = append(compiled, c.Compile(conditions[i].Expression, sees, Stored, Bool))
	}
	return compiled
}

// Match reports whether all conditions hold. One that is false decides,
// whatever errors others have.
func (cs Conditions) Match(s *Scope) (bool, error) {
	var errs []error
	for _, c := range cs {
		v, err := s.Eval(c)
		switch {
		case err != nil && Fatal(err):
			return false, err
		case err != nil:
			errs = append(errs, err)
		case v == types.False:
			return false, nil
		}
	}
	return len(errs) == 0, utilerrors.NewAggregate(errs)
}
