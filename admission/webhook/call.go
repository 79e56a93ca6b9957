package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"proa/admission"
	"proa/admission/expression"
	"proa/admission/match"
	"proa/apiserver/callout"
	"proa/auth"
	"proa/resource"
)

// Config is what the plugins work with.
type Config struct {
	Namespaces match.Namespaces
	// Authorizer answers the questions of match conditions.
	Authorizer auth.Authorizer
	Caller     *callout.Caller
	Log        *slog.Logger
}

// views are a write in the versions in which webhooks want to see it.
type views struct {
	of    *admission.Attributes
	known map[*resource.Served]*admission.View
}

func (v *views) in(s *resource.Served) (*admission.View, error) {
	if w := v.known[s]; w != nil {
		return w, nil
	}
	w, err := v.of.In(s)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if v.known == nil {
		v.known = map[*resource.Served]*admission.View{}
	}
	v.known[s] = w
	return w, nil
}

// wants returns the write as the webhook wants to see it, or nil where it is
// not about it.
func (c *Config) wants(ctx context.Context, h *hook, a *admission.Attributes, v *views) (*admission.View, error) {
	s, err := h.criteria.Match(ctx, a, c.Namespaces)
	if s == nil || err != nil {
		return nil, err
	}
	w, err := v.in(s)
	if err != nil || len(h.conditions) == 0 {
		return w, err
	}
	ok, err := c.holds(ctx, h, a, w)
	switch {
	case err != nil && !h.failOpen:
		c.Log.Warn("match conditions of a webhook have failed; the request is refused", "webhook", h.name, "err", err)
		return nil, apierrors.NewForbidden(a.GroupResource(), a.ObjectName(), err)
	case !ok || err != nil:
		return nil, nil
	}
	return w, nil
}

// holds evaluates the match conditions.
func (c *Config) holds(ctx context.Context, h *hook, a *admission.Attributes, w *admission.View) (bool, error) {
	var values expression.Values
	obj, old, err := w.Trees()
	if err != nil {
		return false, err
	}
	request, err := w.RequestTree()
	if err != nil {
		return false, err
	}
	values.SetObjects(obj, old)
	values.Request = request
	values.Authorizer, values.RequestResource = expression.NewAsker(c.Authorizer, a.User).Values(expression.Requested{
		Resource: a.RequestResource(), Subresource: a.Subresource, Namespace: a.Namespace, Name: a.Name,
	})
	return h.conditions.Match(expression.Plain().NewScope(ctx, values, expression.ConditionBudget))
}

// call asks a webhook. The error is a *callError where there is no answer that
// makes sense, and a refusal otherwise.
func (c *Config) call(ctx context.Context, h *hook, a *admission.Attributes, w *admission.View, mutating bool) (*admissionv1.AdmissionResponse, error) {
	if a.DryRun && !h.dryRun {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("admission webhook %q does not support dry run", h.name))
	}
	if h.version == "" {
		return nil, &callError{h.name, errors.New("could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)")}
	}
	uid := types.UID(uuid.NewString())
	body, err := ask(w, h.version, uid)
	if err != nil {
		return nil, &callError{h.name, fmt.Errorf("could not create admission objects: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	answer, err := c.Caller.Post(ctx, h.target, body)
	var unusable *callout.TargetError
	switch {
	case errors.As(err, &unusable):
		return nil, &callError{h.name, fmt.Errorf("could not get REST client: %w", err)}
	case err != nil:
		return nil, &callError{h.name, fmt.Errorf("failed to call webhook: %w", err)}
	}
	r, err := read(answer, h.version, uid, mutating)
	var senseless answerError
	switch {
	case errors.As(err, &senseless):
		return nil, &callError{h.name, fmt.Errorf("received invalid webhook response: %w", err)}
	case err != nil:
		return nil, &callError{h.name, fmt.Errorf("failed to call webhook: %w", err)}
	}
	for k, v := range r.AuditAnnotations {
		a.Audit(h.name+"/"+k, v)
	}
	for _, t := range r.Warnings {
		a.Warn(t)
	}
	if !r.Allowed {
		return nil, denied(h.name, r.Result)
	}
	return r, nil
}

// refusal is the error for the client of a webhook that could not be asked, or
// nil where it does not have to be.
func (c *Config) refusal(h *hook, err *callError) error {
	if h.failOpen {
		if !errors.Is(err, context.Canceled) {
			c.Log.Warn("a webhook could not be asked; the request goes on without it", "webhook", h.name, "err", err)
		}
		return nil
	}
	c.Log.Warn("a webhook could not be asked; the request is refused", "webhook", h.name, "err", err)
	return apierrors.NewInternalError(err)
}
