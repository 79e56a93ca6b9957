package webhook

import (
	"context"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/admission"
)

// denial is the refusal of a write by a webhook that answered.
type denial struct{ *apierrors.StatusError }

// Unwrap finds the status that the webhook gave.
func (d denial) Unwrap() error { return d.StatusError }

// observe tells of one question to a webhook, which began then and ended with err.
func observe(a *admission.Attributes, h *hook, p admission.Phase, began time.Time, err error) {
	if a.Observe == nil {
		return
	}
	c := admission.WebhookCall{
		Name: h.name, Phase: p, Operation: a.Operation, Took: time.Since(began), Rejected: true, Failure: admission.InternalError,
	}
	var refused denial
	switch {
	case err == nil:
		c.Rejected, c.Failure, c.Code = false, admission.NoError, http.StatusOK
	case errors.As(err, &refused):
		c.Failure, c.Code = admission.NoError, int(refused.ErrStatus.Code)
	case asCallError(err) != nil:
		c.Failure, c.Code = admission.CallError, http.StatusBadRequest
		c.Rejected, c.FailedOpen = !h.failOpen, h.failOpen && !errors.Is(err, context.Canceled)
	}
	a.Observe.Webhook(c)
}
