package rbac

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
)

// ClusterRole is the row of cluster roles: sets of rules for every namespace,
// for resources without one and for URLs.
func ClusterRole() *resource.Definition {
	return resource.Row[*rbacv1.ClusterRole]{
		Storage:        rbacv1.SchemeGroupVersion,
		Kind:           "ClusterRole",
		Plural:         "clusterroles",
		ClusterScoped:  true,
		New:            func() *rbacv1.ClusterRole { return new(rbacv1.ClusterRole) },
		NewList:        func() runtime.Object { return new(rbacv1.ClusterRoleList) },
		ValidateName:   validName,
		CreateOnUpdate: true,
		Validate: func(r *rbacv1.ClusterRole) field.ErrorList {
			return validateClusterRole(r, metavalidation.LabelSelectorValidationOptions{})
		},
		ValidateUpdate: func(r, old *rbacv1.ClusterRole) field.ErrorList {
			return validateClusterRole(r, metavalidation.LabelSelectorValidationOptions{
				AllowInvalidLabelValueInSelector: hasInvalidSelector(old.AggregationRule),
			})
		},
		Columns: roleColumns(),
		Cells:   func(r *rbacv1.ClusterRole, _ time.Time) []any { return []any{r.Name, createdAt(r)} },
	}.Define()
}

func validateClusterRole(r *rbacv1.ClusterRole, opts metavalidation.LabelSelectorValidationOptions) field.ErrorList {
	errs := validateRules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	at := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		errs = append(errs, field.Required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		s := &r.AggregationRule.ClusterRoleSelectors[i]
		errs = append(errs, metavalidation.ValidateLabelSelector(s, opts, at.Index(i))...)
		if parsed, err := metav1.LabelSelectorAsSelector(s); err != nil {
			errs = append(errs, field.Invalid(at.Index(i), parsed, "invalid label selector."))
		}
	}
	return errs
}

// hasInvalidSelector: a stored role may keep what was accepted before label
// values in selectors were checked.
func hasInvalidSelector(a *rbacv1.AggregationRule) bool {
	if a == nil {
		return false
	}
	for i := range a.ClusterRoleSelectors {
		if metavalidation.LabelSelectorHasInvalidLabelValue(&a.ClusterRoleSelectors[i]) {
			return true
		}
	}
	return false
}
