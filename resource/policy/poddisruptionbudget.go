package policy

import (
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// PodDisruptionBudget is the row of pod disruption budgets.
func PodDisruptionBudget() *resource.Definition {
	return resource.Row[*policyv1.PodDisruptionBudget]{
		Storage:                policyv1.SchemeGroupVersion,
		Kind:                   "PodDisruptionBudget",
		AnyFinalizer:           true,
		Plural:                 "poddisruptionbudgets",
		ShortNames:             []string{"pdb"},
		RequireResourceVersion: true,
		New:                    func() *policyv1.PodDisruptionBudget { return new(policyv1.PodDisruptionBudget) },
		NewList:                func() runtime.Object { return new(policyv1.PodDisruptionBudgetList) },
		// Upstream has never asked for more than what fits into a URL.
		ValidateName: path.ValidatePathSegmentName,
		PrepareCreate: func(_ *resource.Request, b *policyv1.PodDisruptionBudget) {
			b.Status = policyv1.PodDisruptionBudgetStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, b, old *policyv1.PodDisruptionBudget) {
			b.Status = *old.Status.DeepCopy()
		},
		Validate: func(b *policyv1.PodDisruptionBudget) field.ErrorList { return validateBudget(&b.Spec, false) },
		ValidateUpdate: func(b, old *policyv1.PodDisruptionBudget) field.ErrorList {
			return validateBudget(&b.Spec, metavalidation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector))
		},
		Spec: func(b *policyv1.PodDisruptionBudget) any { return &b.Spec },
		Updates: map[string]resource.Update[*policyv1.PodDisruptionBudget]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, b, old *policyv1.PodDisruptionBudget) {
					b.Spec = *old.Spec.DeepCopy()
				},
				ValidateUpdate: func(b, _ *policyv1.PodDisruptionBudget) field.ErrorList { return validateBudgetStatus(&b.Status) },
			},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Min Available", "The minimum number of pods that must be available."),
			columns.String("Max Unavailable", "The maximum number of pods that may be unavailable."),
			columns.Integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
			columns.Age(),
		},
		Cells: func(b *policyv1.PodDisruptionBudget, now time.Time) []any {
			return []any{
				b.Name, limitCell(b.Spec.MinAvailable), limitCell(b.Spec.MaxUnavailable),
				int64(b.Status.DisruptionsAllowed), columns.Since(b.CreationTimestamp, now),
			}
		},
	}.Define()
}

func limitCell(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

func validateBudget(s *policyv1.PodDisruptionBudgetSpec, lax bool) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(at, check.GoForm{Value: s}, "minAvailable and maxUnavailable cannot be both set"))
	}
	for _, limit := range []struct {
		name  string
		value *intstr.IntOrString
	}{{"minAvailable", s.MinAvailable}, {"maxUnavailable", s.MaxUnavailable}} {
		errs = append(errs, check.CountOrPercent(limit.value, at.Child(limit.name))...)
		errs = append(errs, check.AtMost100Percent(limit.value, at.Child(limit.name))...)
	}
	errs = append(errs, metavalidation.ValidateLabelSelector(s.Selector,
		metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: lax}, at.Child("selector"))...)
	if p := s.UnhealthyPodEvictionPolicy; p != nil {
		errs = append(errs, check.OneOf(*p, []policyv1.UnhealthyPodEvictionPolicyType{
			policyv1.AlwaysAllow, policyv1.IfHealthyBudget,
		}, at.Child("unhealthyPodEvictionPolicy"))...)
	}
	return errs
}

func validateBudgetStatus(s *policyv1.PodDisruptionBudgetStatus) field.ErrorList {
	at := field.NewPath("status")
	errs := metavalidation.ValidateConditions(s.Conditions, at.Child("conditions"))
	errs = append(errs, check.NonNegative(int64(s.DisruptionsAllowed), at.Child("disruptionsAllowed"))...)
	errs = append(errs, check.NonNegative(int64(s.CurrentHealthy), at.Child("currentHealthy"))...)
	errs = append(errs, check.NonNegative(int64(s.DesiredHealthy), at.Child("desiredHealthy"))...)
	return append(errs, check.NonNegative(int64(s.ExpectedPods), at.Child("expectedPods"))...)
}
