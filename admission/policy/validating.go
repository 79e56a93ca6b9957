package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	arv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/admission/expression"
	"proa/admission/match"
	"proa/resource"
)

// Validating is the plugin ValidatingAdmissionPolicy.
type Validating struct {
	Config
	policies *joined[*validating]
}

// validating is a policy, compiled. It is immutable.
type validating struct {
	head
	validations []validation
	annotations []annotation
}

type validation struct {
	program, message *expression.Program // message is nil where there is none
	spec             *arv1.Validation
}

type annotation struct {
	key     string
	program *expression.Program
}

// NewValidating makes the plugin.
func NewValidating(c Config, view *resource.View) *Validating {
	return &Validating{c, newJoined(c.Hub, view, "validatingadmissionpolicies", "validatingadmissionpolicybindings", newValidating,
		func(b *arv1.ValidatingAdmissionPolicyBinding) *binding {
			return newBinding(b.Name, b.Spec.PolicyName, b.Spec.MatchResources, b.Spec.ParamRef, b.Spec.ValidationActions)
		}, func(p *validating) string { return p.name })}
}

func newValidating(o *arv1.ValidatingAdmissionPolicy) *validating {
	s := &o.Spec
	p := &validating{head: newHead(o.Name, s.MatchConstraints, s.ParamKind, s.FailurePolicy, s.Variables, s.MatchConditions)}
	sees := p.sees()
	for i := range s.Validations {
		v := validation{spec: &s.Validations[i], program: p.compiler.Compile(s.Validations[i].Expression, sees, expression.Stored, expression.Bool)}
		if m := v.spec.MessageExpression; m != "" {
			v.message = p.compiler.Compile(m, expression.Sees{Params: sees.Params}, expression.Stored, expression.String)
		}
		p.validations = append(p.validations, v)
	}
	for _, a := range s.AuditAnnotations {
		p.annotations = append(p.annotations, annotation{a.Key, p.compiler.Compile(a.ValueExpression, sees, expression.Stored, expression.String, expression.Null)})
	}
	return p
}

// Name implements [admission.Plugin].
func (*Validating) Name() string { return "ValidatingAdmissionPolicy" }

// Handles implements [admission.Plugin].
func (p *Validating) Handles(_ admission.Operation, def *resource.Definition, _ string) bool {
	return !match.Exempt(def) && !p.policies.none()
}

// violation is why a policy wants a write refused.
type violation struct {
	// index of the validation, for those that are of one.
	index   int
	message string
	reason  metav1.StatusReason
	// took is how long the expression took, and failure how it failed, if it did.
	took    time.Duration
	failure string
	// ignored by the failure policy.
	ignored bool
}

// denial is a violation that refuses the write.
type denial struct {
	policy, binding string
	violation
}

// Validate implements [admission.Validator].
func (p *Validating) Validate(ctx context.Context, a *admission.Attributes) error {
	all, err := p.policies.all(ctx)
	if err != nil {
		return notReady(a, err)
	}
	m := p.meet(ctx, a)
	var denials []denial
	for _, e := range all {
		more, err := p.policy(m, e)
		if err != nil {
			return err
		}
		denials = append(denials, more...)
	}
	if len(denials) == 0 {
		return nil
	}
	return refusal(a, denials[0])
}

// policy is what one policy says to a write, by all of its bindings.
func (p *Validating) policy(m *meeting, e effective[*validating]) ([]denial, error) {
	var denials []denial
	misconfigured := func(err error, part, binding string) {
		if !e.policy.failOpen {
			denials = append(denials, denial{e.policy.name, binding, violation{message: fmt.Sprintf("failed to configure %s: %v", part, err)}})
		}
	}
	if e.policy.criteria == nil {
		misconfigured(errUnconstrained, "policy", "")
		return denials, nil
	}
	served, err := e.policy.criteria.Match(m.ctx, m.a, m.Namespaces)
	if err != nil {
		misconfigured(err, "policy", "")
		return denials, nil
	}
	if served == nil {
		return nil, nil
	}
	notes := map[string][]string{}
	for _, b := range e.bindings {
		if b.criteria != nil {
			matched, err := b.criteria.Match(m.ctx, m.a, m.Namespaces)
			if err != nil {
				misconfigured(err, "binding", b.name)
			}
			if matched == nil {
				continue
			}
		}
		params, err := m.params(&e.policy.head, b)
		if err != nil {
			misconfigured(err, "binding", b.name)
			continue
		}
		if len(params) == 0 {
			continue
		}
		view, err := m.view(served)
		if err != nil {
			misconfigured(fmt.Errorf("failed to convert object version: %w", err), "binding", b.name)
			continue
		}
		if err := m.findNamespace(); err != nil {
			return nil, err
		}
		for _, param := range params {
			violations, failed := e.policy.evaluate(m, view, param, notes)
			for _, v := range violations {
				if v.ignored {
					p.observe(m.a, e.policy, b, v, "allow")
					continue
				}
				denials = append(denials, p.act(m.a, e.policy, b, v)...)
			}
			for _, v := range failed {
				denials = append(denials, denial{e.policy.name, b.name, v})
			}
		}
	}
	for key, values := range notes {
		m.a.Audit(e.policy.name+"/"+key, strings.Join(values, ", "))
	}
	return denials, nil
}

// observe tells of a violation and what comes of it.
func (p *Validating) observe(a *admission.Attributes, of *validating, b *binding, v violation, action string) {
	if a.Observe != nil {
		a.Observe.Policy(of.name, b.name, v.failure, action, v.took)
	}
}

// failureOf is how an expression failed, as metrics have it.
func failureOf(err error) string {
	switch {
	case err == nil:
		return admission.NoError
	case expression.Fatal(err):
		return "out_of_budget"
	}
	return "invalid_error"
}

// act does what a binding says about a violation.
func (p *Validating) act(a *admission.Attributes, of *validating, b *binding, v violation) []denial {
	var denials []denial
	for _, action := range b.actions {
		p.observe(a, of, b, v, strings.ToLower(string(action)))
		switch action {
		case arv1.Deny:
			denials = append(denials, denial{of.name, b.name, v})
		case arv1.Warn:
			a.Warn(fmt.Sprintf("Validation failed for ValidatingAdmissionPolicy '%s' with binding '%s': %s", of.name, b.name, v.message))
		case arv1.Audit:
			p.audit(a, of, b, v)
		}
	}
	return denials
}

// failure is what an audit annotation says of a violation.
type failure struct {
	Message           string                  `json:"message"`
	Policy            string                  `json:"policy"`
	Binding           string                  `json:"binding"`
	ExpressionIndex   int                     `json:"expressionIndex"`
	ValidationActions []arv1.ValidationAction `json:"validationActions"`
}

func (p *Validating) audit(a *admission.Attributes, of *validating, b *binding, v violation) {
	js, err := json.Marshal([]failure{{v.message, of.name, b.name, v.index, b.actions}})
	if err != nil {
		p.Log.Warn("a violation could not be noted", "policy", of.name, "err", err)
		return
	}
	a.Audit("validation.policy.admission.k8s.io/validation_failure", string(js))
}

// codes of the reasons that a validation may give.
var codes = map[metav1.StatusReason]int32{
	metav1.StatusReasonForbidden: http.StatusForbidden, metav1.StatusReasonUnauthorized: http.StatusUnauthorized,
	metav1.StatusReasonRequestEntityTooLarge: http.StatusRequestEntityTooLarge, metav1.StatusReasonInvalid: http.StatusUnprocessableEntity,
}

// refusal is the first denial as the error of the request.
func refusal(a *admission.Attributes, d denial) error {
	text := fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s", d.policy, d.binding, d.message)
	if d.binding == "" {
		text = fmt.Sprintf("ValidatingAdmissionPolicy '%s' denied request: %s", d.policy, d.message)
	}
	err := apierrors.NewForbidden(a.GroupResource(), a.ObjectName(), errors.New(text))
	err.ErrStatus.Reason = d.reason
	if d.reason == "" {
		err.ErrStatus.Reason = metav1.StatusReasonInvalid
	}
	err.ErrStatus.Code = http.StatusUnprocessableEntity
	if c := codes[err.ErrStatus.Reason]; c != 0 {
		err.ErrStatus.Code = c
	}
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Message: text})
	return err
}

// maxNote is the length in bytes of the longest value of an annotation.
const maxNote = 10 << 10

// evaluate is what the policy says with one parameter. Violations are for the
// binding to act upon; what has failed in an annotation refuses in any case.
// Values of annotations are added to notes.
func (p *validating) evaluate(m *meeting, v *admission.View, param param, notes map[string][]string) (violations, failed []violation) {
	// broken is an error, as far as the failure policy lets it count.
	began := time.Now()
	broken := func(i int, err error) []violation {
		return []violation{{index: i, message: err.Error(), took: time.Since(began), failure: failureOf(err), ignored: p.failOpen}}
	}
	values, err := m.values(v, param.tree)
	if err != nil {
		return broken(0, err), nil
	}
	if len(p.conditions) > 0 {
		ok, err := p.conditions.Match(p.compiler.NewScope(m.ctx, values, expression.ConditionBudget))
		if err != nil {
			return broken(0, err), nil
		}
		if !ok {
			return nil, nil
		}
	}
	values = m.withNamespace(values)
	scope := p.compiler.NewScope(m.ctx, values, expression.Budget)
	var bad []int
	took := make([]time.Duration, len(p.validations))
	for i := range p.validations {
		began = time.Now()
		ok, err := scope.Eval(p.validations[i].program)
		switch {
		case err != nil && expression.Fatal(err):
			return broken(0, err), nil
		case err != nil:
			violations = append(violations, broken(i, err)...)
		case ok != types.True:
			bad, took[i] = append(bad, i), time.Since(began)
		}
	}
	silent := values
	silent.Authorizer, silent.RequestResource = nil, nil // messages may not ask
	messages := p.compiler.NewScope(m.ctx, silent, scope.Left())
	for _, i := range bad {
		text, err := p.validations[i].text(messages)
		if err != nil {
			violations = append(violations, broken(i, fmt.Errorf("failed messageExpression: %w", err))...)
			continue
		}
		reason := metav1.StatusReasonInvalid
		if r := p.validations[i].spec.Reason; r != nil {
			reason = *r
		}
		violations = append(violations, violation{index: i, message: text, reason: reason, took: took[i], failure: admission.NoError})
	}
	slices.SortStableFunc(violations, func(a, b violation) int { return a.index - b.index })
	failed, err = p.annotate(p.compiler.NewScope(m.ctx, values, expression.Budget), notes)
	if err != nil {
		return broken(0, err), nil
	}
	if p.failOpen {
		failed = nil
	}
	return violations, failed
}

// text is the message of a violation: what the message expression makes of it,
// or the message, or the expression. The error is a fatal one.
func (v *validation) text(s *expression.Scope) (string, error) {
	if v.message != nil {
		out, err := s.Eval(v.message)
		if err != nil && expression.Fatal(err) {
			return "", err
		}
		if err == nil {
			text, _ := out.Value().(string)
			if text = strings.TrimSpace(text); text != "" && len(text) <= expression.MaxMessage && !strings.Contains(text, "\n") {
				return text, nil
			}
		}
	}
	if v.spec.Message != "" {
		return strings.TrimSpace(v.spec.Message), nil
	}
	return "failed expression: " + strings.TrimSpace(v.spec.Expression), nil
}

// annotate computes the audit annotations.
func (p *validating) annotate(s *expression.Scope, notes map[string][]string) (failed []violation, err error) {
	for _, a := range p.annotations {
		out, err := s.Eval(a.program)
		switch {
		case err != nil && expression.Fatal(err):
			return nil, err
		case err != nil:
			failed = append(failed, violation{message: err.Error()})
			continue
		}
		text, ok := out.Value().(string)
		if text = strings.TrimSpace(text); !ok || text == "" {
			continue // null, or nothing to say
		}
		if len(text) > maxNote {
			text = text[:maxNote]
		}
		if !slices.Contains(notes[a.key], text) {
			notes[a.key] = append(notes[a.key], text)
		}
	}
	return failed, nil
}
