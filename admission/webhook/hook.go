package webhook

import (
	"fmt"
	"slices"
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"

	"proa/admission/expression"
	"proa/admission/match"
	"proa/apiserver/callout"
	"proa/resource/admissionregistration"
)

// hook is a webhook of a configuration, compiled. It is immutable.
type hook struct {
	name, configuration string
	// key tells it from all others.
	key        string
	criteria   *match.Criteria
	conditions expression.Conditions
	target     callout.Target
	// failOpen: where it cannot be asked, it is not.
	failOpen bool
	timeout  time.Duration
	// dryRun: it may be asked about what is not going to happen.
	dryRun bool
	// version of AdmissionReview that it is sent, empty where it knows none that
	// this server does.
	version string
	// reinvoke: it wants to see an object again that others have changed since.
	reinvoke bool
}

const (
	defaultTimeout = 10 * time.Second
	defaultPort    = 443
)

func newHook(configuration string, i int, h *arv1.ValidatingWebhook) *hook {
	k := &hook{
		name: h.Name, configuration: configuration, key: fmt.Sprintf("%s/%s/%d", configuration, h.Name, i),
		criteria: match.OfWebhook(h),
		failOpen: h.FailurePolicy != nil && *h.FailurePolicy == arv1.Ignore,
		timeout:  defaultTimeout,
		dryRun:   h.SideEffects != nil && (*h.SideEffects == arv1.SideEffectClassNone || *h.SideEffects == arv1.SideEffectClassNoneOnDryRun),
		target:   callout.Target{CA: h.ClientConfig.CABundle},
	}
	if len(h.MatchConditions) > 0 {
		k.conditions = expression.Plain().CompileConditions(h.MatchConditions, expression.Sees{Authorizer: true})
	}
	if h.TimeoutSeconds != nil {
		k.timeout = time.Duration(*h.TimeoutSeconds) * time.Second
	}
	if i := slices.IndexFunc(h.AdmissionReviewVersions, known); i >= 0 {
		k.version = h.AdmissionReviewVersions[i]
	}
	if u := h.ClientConfig.URL; u != nil {
		k.target.URL = *u
	}
	if s := h.ClientConfig.Service; s != nil {
		at := &callout.Service{Namespace: s.Namespace, Name: s.Name, Port: defaultPort}
		if s.Path != nil {
			at.Path = *s.Path
		}
		if s.Port != nil {
			at.Port = *s.Port
		}
		k.target.Service = at
	}
	return k
}

func ofValidating(c *arv1.ValidatingWebhookConfiguration) []*hook {
	hooks := make([]*hook, len(c.Webhooks))
	for i := range c.Webhooks {
		hooks[i] = newHook(c.Name, i, &c.Webhooks[i])
	}
	return hooks
}

func ofMutating(c *arv1.MutatingWebhookConfiguration) []*hook {
	hooks := make([]*hook, len(c.Webhooks))
	for i := range c.Webhooks {
		h := admissionregistration.Common(&c.Webhooks[i])
		hooks[i] = newHook(c.Name, i, &h)
		p := c.Webhooks[i].ReinvocationPolicy
		hooks[i].reinvoke = p != nil && *p == arv1.IfNeededReinvocationPolicy
	}
	return hooks
}
