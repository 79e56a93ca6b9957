package webhook

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"

	"proa/admission"
	"proa/admission/derived"
	"proa/admission/match"
	"proa/cache"
	"proa/resource"
)

// Validating is the plugin ValidatingAdmissionWebhook.
type Validating struct {
	Config
	hooks *derived.Of[*arv1.ValidatingWebhookConfiguration, []*hook]
}

// NewValidating makes the plugin.
func NewValidating(c Config, hub *cache.Hub, view *resource.View) *Validating {
	return &Validating{c, derived.New(hub, definition(view, "validatingwebhookconfigurations"), ofValidating)}
}

func definition(view *resource.View, plural string) *resource.Definition {
	m, _ := view.Resource(arv1.SchemeGroupVersion.WithResource(plural))
	return m.Definition
}

// Name implements [admission.Plugin].
func (*Validating) Name() string { return "ValidatingAdmissionWebhook" }

// Handles implements [admission.Plugin].
func (p *Validating) Handles(_ admission.Operation, def *resource.Definition, _ string) bool {
	return !match.Exempt(def) && !p.hooks.None()
}

// maxParallel is how many webhooks are asked at once about one write.
const maxParallel = 64

// Validate implements [admission.Validator].
func (p *Validating) Validate(ctx context.Context, a *admission.Attributes) error {
	all, _, err := p.hooks.All(ctx)
	if err != nil {
		return notReady(a, err)
	}
	type asked struct {
		*hook
		view *admission.View
	}
	var relevant []asked
	v := &views{of: a}
	for _, h := range slices.Concat(all...) {
		w, err := p.wants(ctx, h, a, v)
		if err != nil {
			return err
		}
		if w != nil {
			relevant = append(relevant, asked{h, w})
		}
	}
	if len(relevant) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return errTimedOut
	}
	for _, w := range v.known {
		// Computed here, so that those who are asked at once share it.
		if _, _, err := w.JSON(); err != nil {
			return notReady(a, err)
		}
	}
	refusals := make([]error, len(relevant))
	turns := make(chan struct{}, maxParallel)
	var calls sync.WaitGroup
	for i, r := range relevant {
		turns <- struct{}{}
		calls.Go(func() {
			defer func() { <-turns }()
			began := time.Now()
			_, err := p.call(ctx, r.hook, a, r.view, false)
			observe(a, r.hook, admission.Validating, began, err)
			if c := asCallError(err); c != nil {
				if err = p.refusal(r.hook, c); err == nil {
					a.Audit(fmt.Sprintf("failed-open.validating.webhook.admission.k8s.io/round_0_index_%d", i), r.name)
				}
			}
			refusals[i] = err
		})
	}
	calls.Wait()
	for _, err := range refusals {
		if err != nil {
			return err
		}
	}
	return nil
}

// notReady refuses what cannot be decided.
func notReady(a *admission.Attributes, err error) error {
	return admission.Forbidden(a, fmt.Errorf("not yet ready to handle request: %w", err))
}
