package admissionregistration

import (
	"time"

	arv1 "k8s.io/api/admissionregistration/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// ValidatingWebhookConfiguration is the row of validating webhook
// configurations: who outside of the API server may refuse what.
func ValidatingWebhookConfiguration() *resource.Definition {
	return resource.Row[*arv1.ValidatingWebhookConfiguration]{
		Storage:                arv1.SchemeGroupVersion,
		Kind:                   "ValidatingWebhookConfiguration",
		AnyFinalizer:           true,
		Plural:                 "validatingwebhookconfigurations",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		RequireResourceVersion: true,
		Settled:                true,
		New:                    func() *arv1.ValidatingWebhookConfiguration { return new(arv1.ValidatingWebhookConfiguration) },
		NewList:                func() runtime.Object { return new(arv1.ValidatingWebhookConfigurationList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default: func(c *arv1.ValidatingWebhookConfiguration) {
			for i := range c.Webhooks {
				defaultWebhook(&c.Webhooks[i])
			}
		},
		Validate: func(c *arv1.ValidatingWebhookConfiguration) field.ErrorList {
			return validateWebhooks(validatingHooks(c), strict)
		},
		ValidateUpdate: func(c, old *arv1.ValidatingWebhookConfiguration) field.ErrorList {
			hooks, was := validatingHooks(c), validatingHooks(old)
			return validateWebhooks(hooks, rulesAfter(hooks, was))
		},
		Warnings: func(c, _ *arv1.ValidatingWebhookConfiguration) []string { return warnings(c.Name) },
		Spec:     func(c *arv1.ValidatingWebhookConfiguration) any { return c.Webhooks },
		Columns:  webhookColumns(),
		Cells: func(c *arv1.ValidatingWebhookConfiguration, now time.Time) []any {
			return []any{c.Name, int64(len(c.Webhooks)), columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

// MutatingWebhookConfiguration is the row of mutating webhook configurations:
// who outside of the API server may change or refuse what.
func MutatingWebhookConfiguration() *resource.Definition {
	return resource.Row[*arv1.MutatingWebhookConfiguration]{
		Storage:                arv1.SchemeGroupVersion,
		Kind:                   "MutatingWebhookConfiguration",
		AnyFinalizer:           true,
		Plural:                 "mutatingwebhookconfigurations",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		RequireResourceVersion: true,
		Settled:                true,
		New:                    func() *arv1.MutatingWebhookConfiguration { return new(arv1.MutatingWebhookConfiguration) },
		NewList:                func() runtime.Object { return new(arv1.MutatingWebhookConfigurationList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default: func(c *arv1.MutatingWebhookConfiguration) {
			for i := range c.Webhooks {
				h := Common(&c.Webhooks[i])
				defaultWebhook(&h)
				setCommon(&c.Webhooks[i], h)
				setDefault(&c.Webhooks[i].ReinvocationPolicy, arv1.NeverReinvocationPolicy)
			}
		},
		Validate: func(c *arv1.MutatingWebhookConfiguration) field.ErrorList {
			return validateWebhooks(mutatingHooks(c), strict)
		},
		ValidateUpdate: func(c, old *arv1.MutatingWebhookConfiguration) field.ErrorList {
			hooks, was := mutatingHooks(c), mutatingHooks(old)
			return validateWebhooks(hooks, rulesAfter(hooks, was))
		},
		Warnings: func(c, _ *arv1.MutatingWebhookConfiguration) []string { return warnings(c.Name) },
		Spec:     func(c *arv1.MutatingWebhookConfiguration) any { return c.Webhooks },
		Columns:  webhookColumns(),
		Cells: func(c *arv1.MutatingWebhookConfiguration, now time.Time) []any {
			return []any{c.Name, int64(len(c.Webhooks)), columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

func webhookColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		columns.Name(),
		columns.Integer("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
		columns.Age(),
	}
}

// Common is a mutating webhook without what only it has, the reinvocation
// policy. The two types are the same but for that.
func Common(h *arv1.MutatingWebhook) arv1.ValidatingWebhook {
	return arv1.ValidatingWebhook{
		Name: h.Name, ClientConfig: h.ClientConfig, Rules: h.Rules, FailurePolicy: h.FailurePolicy,
		MatchPolicy: h.MatchPolicy, NamespaceSelector: h.NamespaceSelector, ObjectSelector: h.ObjectSelector,
		SideEffects: h.SideEffects, TimeoutSeconds: h.TimeoutSeconds,
		AdmissionReviewVersions: h.AdmissionReviewVersions, MatchConditions: h.MatchConditions,
	}
}

func setCommon(h *arv1.MutatingWebhook, c arv1.ValidatingWebhook) {
	h.ClientConfig, h.Rules, h.FailurePolicy, h.MatchPolicy = c.ClientConfig, c.Rules, c.FailurePolicy, c.MatchPolicy
	h.NamespaceSelector, h.ObjectSelector, h.TimeoutSeconds = c.NamespaceSelector, c.ObjectSelector, c.TimeoutSeconds
}

// hook is a webhook of either kind.
type hook struct {
	arv1.ValidatingWebhook
	// reinvocation is nil for validating webhooks.
	reinvocation *arv1.ReinvocationPolicyType
}

func validatingHooks(c *arv1.ValidatingWebhookConfiguration) []hook {
	hooks := make([]hook, len(c.Webhooks))
	for i := range c.Webhooks {
		hooks[i] = hook{ValidatingWebhook: c.Webhooks[i]}
	}
	return hooks
}

func mutatingHooks(c *arv1.MutatingWebhookConfiguration) []hook {
	hooks := make([]hook, len(c.Webhooks))
	for i := range c.Webhooks {
		hooks[i] = hook{Common(&c.Webhooks[i]), c.Webhooks[i].ReinvocationPolicy}
	}
	return hooks
}

func defaultWebhook(h *arv1.ValidatingWebhook) {
	setDefault(&h.FailurePolicy, arv1.Fail)
	setDefault(&h.MatchPolicy, arv1.Equivalent)
	setDefault(&h.NamespaceSelector, metav1.LabelSelector{})
	setDefault(&h.ObjectSelector, metav1.LabelSelector{})
	setDefault(&h.TimeoutSeconds, 10)
	if s := h.ClientConfig.Service; s != nil {
		setDefault(&s.Port, 443)
	}
	for i := range h.Rules {
		setDefault(&h.Rules[i].Scope, arv1.AllScopes)
	}
}

func setDefault[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}
