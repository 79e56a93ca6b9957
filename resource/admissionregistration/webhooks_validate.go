package admissionregistration

import (
	"slices"
	"strings"

	arv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// webhookRules are those of validation that what is stored already may break.
type webhookRules struct {
	// sideEffects: there must be none, or none on dry run.
	sideEffects bool
	// reviewVersion: one must be known that this server speaks.
	reviewVersion bool
	// uniqueNames of the webhooks of a configuration.
	uniqueNames bool
	// laxSelectors may have label values that are none.
	laxSelectors bool
	conditions   conditionRules
}

// strict are the rules for a new configuration.
var strict = webhookRules{sideEffects: true, reviewVersion: true, uniqueNames: true}

// rulesAfter are the rules for a configuration that replaces another.
func rulesAfter(hooks, was []hook) webhookRules {
	r := strict
	names := map[string]bool{}
	for i := range was {
		h := &was[i]
		r.sideEffects = r.sideEffects && h.SideEffects != nil && slices.Contains(noSideEffects, *h.SideEffects)
		r.reviewVersion = r.reviewVersion && (len(h.AdmissionReviewVersions) == 0 || speaks(h.AdmissionReviewVersions))
		r.uniqueNames = r.uniqueNames && !names[h.Name]
		names[h.Name] = true
		for _, s := range []*metav1.LabelSelector{h.NamespaceSelector, h.ObjectSelector} {
			if s != nil && len(metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, nil)) > 0 {
				r.laxSelectors = true
			}
		}
		for _, c := range h.MatchConditions {
			r.conditions.stored = append(r.conditions.stored, c.Expression)
		}
	}
	r.conditions.skip = slices.EqualFunc(hooks, was, func(a, b hook) bool {
		return slices.Equal(a.MatchConditions, b.MatchConditions)
	})
	return r
}

// reviewVersions are those of AdmissionReview that this server speaks.
var reviewVersions = []string{"v1", "v1beta1"}

func speaks(versions []string) bool {
	return slices.ContainsFunc(versions, func(v string) bool { return slices.Contains(reviewVersions, v) })
}

var (
	failurePolicies      = []arv1.FailurePolicyType{arv1.Fail, arv1.Ignore}
	matchPolicies        = []arv1.MatchPolicyType{arv1.Equivalent, arv1.Exact}
	noSideEffects        = []arv1.SideEffectClass{arv1.SideEffectClassNone, arv1.SideEffectClassNoneOnDryRun}
	allSideEffects       = []arv1.SideEffectClass{arv1.SideEffectClassNone, arv1.SideEffectClassNoneOnDryRun, arv1.SideEffectClassSome, arv1.SideEffectClassUnknown}
	reinvocationPolicies = []arv1.ReinvocationPolicyType{arv1.IfNeededReinvocationPolicy, arv1.NeverReinvocationPolicy}
)

func validateWebhooks(hooks []hook, r webhookRules) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range hooks {
		h, at := &hooks[i], field.NewPath("webhooks").Index(i)
		errs = append(errs, validateWebhook(h, r, at)...)
		errs = append(errs, validateReviewVersions(h.AdmissionReviewVersions, r.reviewVersion, at.Child("admissionReviewVersions"))...)
		if r.uniqueNames && h.Name != "" {
			if names[h.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), h.Name))
			}
			names[h.Name] = true
		}
	}
	return errs
}

func validateWebhook(h *hook, r webhookRules, at *field.Path) field.ErrorList {
	errs := validation.IsFullyQualifiedName(at.Child("name"), h.Name)
	for i := range h.Rules {
		errs = append(errs, validateRule(&h.Rules[i], at.Child("rules").Index(i))...)
	}
	errs = append(errs, optional(h.FailurePolicy, failurePolicies, at.Child("failurePolicy"))...)
	errs = append(errs, optional(h.MatchPolicy, matchPolicies, at.Child("matchPolicy"))...)
	effects := allSideEffects
	if r.sideEffects {
		effects = noSideEffects
	}
	if h.SideEffects == nil {
		errs = append(errs, field.Required(at.Child("sideEffects"), "must specify one of "+joined(effects)))
	}
	errs = append(errs, optional(h.SideEffects, effects, at.Child("sideEffects"))...)
	if t := h.TimeoutSeconds; t != nil && (*t < 1 || *t > 30) {
		errs = append(errs, field.Invalid(at.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds"))
	}
	lax := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: r.laxSelectors}
	errs = append(errs, metavalidation.ValidateLabelSelector(h.NamespaceSelector, lax, at.Child("namespaceSelector"))...)
	errs = append(errs, metavalidation.ValidateLabelSelector(h.ObjectSelector, lax, at.Child("objectSelector"))...)
	errs = append(errs, optional(h.reinvocation, reinvocationPolicies, at.Child("reinvocationPolicy"))...)
	errs = append(errs, validateClient(&h.ClientConfig, at.Child("clientConfig"))...)
	return append(errs, validateConditions(h.MatchConditions, r.conditions, at.Child("matchConditions"))...)
}

// optional is check.OneOf of a value that may be missing.
func optional[T ~string](v *T, allowed []T, at *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	return check.OneOf(*v, allowed, at)
}

func joined[T ~string](values []T) string {
	s := make([]string, len(values))
	for i, v := range values {
		s[i] = string(v)
	}
	return strings.Join(s, ", ")
}

func validateReviewVersions(versions []string, known bool, at *field.Path) field.ErrorList {
	if len(versions) == 0 {
		return field.ErrorList{field.Required(at, "must specify one of "+joined(reviewVersions))}
	}
	var errs field.ErrorList
	for i, v := range versions {
		if slices.Contains(versions[:i], v) {
			errs = append(errs, field.Invalid(at.Index(i), v, "duplicate version"))
			continue
		}
		errs = append(errs, check.Messages(validation.IsDNS1035Label(v), v, at.Index(i))...)
	}
	if known && !speaks(versions) {
		errs = append(errs, field.Invalid(at, versions, "must include at least one of "+joined(reviewVersions)))
	}
	return errs
}

func validateClient(c *arv1.WebhookClientConfig, at *field.Path) field.ErrorList {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		return field.ErrorList{field.Required(at, "exactly one of url or service is required")}
	case c.URL != nil:
		return check.WebhookURL(*c.URL, at.Child("url"))
	}
	return check.WebhookService(c.Service.Namespace, c.Service.Name, c.Service.Path, c.Service.Port, at.Child("service"))
}
