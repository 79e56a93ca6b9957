package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	arv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/admission"
	"proa/admission/derived"
	"proa/admission/match"
	"proa/apiserver/patch"
	"proa/cache"
	"proa/resource"
)

// Mutating is the plugin MutatingAdmissionWebhook.
type Mutating struct {
	Config
	hooks *derived.Of[*arv1.MutatingWebhookConfiguration, []*hook]
}

// NewMutating makes the plugin.
func NewMutating(c Config, hub *cache.Hub, view *resource.View) *Mutating {
	return &Mutating{c, derived.New(hub, definition(view, "mutatingwebhookconfigurations"), ofMutating)}
}

// Name implements [admission.Plugin].
func (*Mutating) Name() string { return "MutatingAdmissionWebhook" }

// Handles implements [admission.Plugin].
func (p *Mutating) Handles(_ admission.Operation, def *resource.Definition, _ string) bool {
	return !match.Exempt(def) && !p.hooks.None()
}

// Mutate implements [admission.Mutator].
func (p *Mutating) Mutate(ctx context.Context, a *admission.Attributes) error {
	all, _, err := p.hooks.All(ctx)
	if err != nil {
		return notReady(a, err)
	}
	hooks := slices.Concat(all...)
	if len(hooks) == 0 {
		return nil
	}
	seen := a.Memory(p.Name(), func() any { return &admission.Reinvocation{} }).(*admission.Reinvocation)
	seen.Begin(a)
	defer func() { seen.End(a) }()
	v := &views{of: a}
	for i, h := range hooks {
		w, err := p.wants(ctx, h, a, v)
		if err != nil {
			return err
		}
		if w == nil || !seen.Due(a, h.key) {
			continue
		}
		began := time.Now()
		changed, err := p.ask(ctx, h, i, a, w)
		observe(a, h, admission.Admit, began, err)
		if changed {
			// From now on everybody sees what has become of the object.
			v = &views{of: a}
			seen.Changed()
			a.PassAgain()
		}
		if h.reinvoke {
			seen.Invoked(h.key)
		}
		if c := asCallError(err); c != nil {
			if err = p.refusal(h, c); err == nil {
				a.Audit(fmt.Sprintf("failed-open.mutation.webhook.admission.k8s.io/round_%d_index_%d", round(a), i), h.name)
				if ctx.Err() != nil {
					return errTimedOut
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func round(a *admission.Attributes) int {
	if a.SecondPass() {
		return 1
	}
	return 0
}

// ask calls one webhook and changes the object as it says.
func (p *Mutating) ask(ctx context.Context, h *hook, i int, a *admission.Attributes, w *admission.View) (changed bool, err error) {
	defer func() {
		p.audit(a, fmt.Sprintf("mutation.webhook.admission.k8s.io/round_%d_index_%d", round(a), i), map[string]any{
			"configuration": h.configuration, "webhook": h.name, "mutated": changed,
		}, false)
	}()
	r, err := p.call(ctx, h, a, w, true)
	if err != nil || len(r.Patch) == 0 {
		return false, err
	}
	ops, err := patch.Parse(r.Patch)
	if err != nil {
		return false, &callError{h.name, fmt.Errorf("received undecodable patch in webhook response: %w", err)}
	}
	if len(ops.Patch) == 0 {
		return false, nil
	}
	if w.Object == nil {
		return false, apierrors.NewInternalError(fmt.Errorf("admission webhook %q attempted to modify the object, which is not supported for this operation", h.name))
	}
	if *r.PatchType != admissionv1.PatchTypeJSONPatch {
		return false, &callError{h.name, fmt.Errorf("unsupported patch type %q", *r.PatchType)}
	}
	out, err := patched(w, ops)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	changed = !admission.Same(w.Object, out)
	p.audit(a, fmt.Sprintf("patch.webhook.admission.k8s.io/round_%d_index_%d", round(a), i), map[string]any{
		"configuration": h.configuration, "webhook": h.name, "patch": ops.Patch, "patchType": string(admissionv1.PatchTypeJSONPatch),
	}, true)
	if !changed {
		return false, nil
	}
	if err := w.Put(out); err != nil {
		return false, apierrors.NewInternalError(err)
	}
	return true, nil
}

func patched(w *admission.View, ops patch.Patch) (runtime.Object, error) {
	js, _, err := w.JSON()
	if err != nil {
		return nil, err
	}
	if js, err = ops.Apply(js); err != nil {
		return nil, err
	}
	return w.Decode(js, false)
}

// audit notes what a webhook has done, where anybody reads it; what shows the
// object only where objects are logged.
func (p *Mutating) audit(a *admission.Attributes, key string, value map[string]any, shows bool) {
	if a.Annotate == nil {
		return
	}
	b, err := json.Marshal(value)
	if err != nil {
		p.Log.Warn("an audit annotation could not be made", "key", key, "err", err)
		return
	}
	a.Annotate(key, string(b), shows)
}
