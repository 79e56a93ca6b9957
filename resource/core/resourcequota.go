package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ResourceQuota is the row of resource quotas.
func ResourceQuota() *resource.Definition {
	return resource.Row[*corev1.ResourceQuota]{
		Storage:      corev1.SchemeGroupVersion,
		Kind:         "ResourceQuota",
		Plural:       "resourcequotas",
		ShortNames:   []string{"quota"},
		New:          func() *corev1.ResourceQuota { return new(corev1.ResourceQuota) },
		NewList:      func() runtime.Object { return new(corev1.ResourceQuotaList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default: func(q *corev1.ResourceQuota) {
			roundUp(&q.Spec.Hard)
			roundUp(&q.Status.Hard)
			roundUp(&q.Status.Used)
		},
		PrepareCreate: func(_ *resource.Request, q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} },
		PrepareUpdate: func(_ *resource.Request, q, old *corev1.ResourceQuota) { q.Status = old.Status },
		Validate: func(q *corev1.ResourceQuota) field.ErrorList {
			return append(validateQuotaSpec(&q.Spec), validateQuotaStatus(&q.Status)...)
		},
		ValidateUpdate: func(q, old *corev1.ResourceQuota) field.ErrorList {
			errs := validateQuotaSpec(&q.Spec)
			if !sets.New(q.Spec.Scopes...).Equal(sets.New(old.Spec.Scopes...)) {
				errs = append(errs, field.Invalid(specPath.Child("scopes"), q.Spec.Scopes, check.Immutable))
			}
			return errs
		},
		Updates: map[string]resource.Update[*corev1.ResourceQuota]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, q, old *corev1.ResourceQuota) { q.Spec = old.Spec },
				ValidateUpdate: func(q, _ *corev1.ResourceQuota) field.ErrorList {
					var errs field.ErrorList
					if q.ResourceVersion == "" {
						errs = append(errs, field.Required(field.NewPath("resourceVersion"), ""))
					}
					return append(errs, validateQuotaStatus(&q.Status)...)
				},
			},
		},
		Warnings: func(q, old *corev1.ResourceQuota) []string {
			if old != nil && check.Equal(q.Spec, old.Spec) {
				return nil
			}
			w := &warner{}
			for _, name := range sortedKeys(q.Spec.Hard) {
				if strings.HasSuffix(string(name), "memory") || strings.HasSuffix(string(name), "storage") {
					w.fraction(q.Spec.Hard, name, specPath.Child("hard"))
				}
			}
			return w.list
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
			columns.String("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
			columns.Age(),
		},
		Cells: quotaCells,
	}.Define()
}

func quotaCells(q *corev1.ResourceQuota, now time.Time) []any {
	var requests, limits []string
	for _, name := range sortedKeys(q.Status.Hard) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), columns.Since(q.CreationTimestamp, now)}
}

func validateQuotaList(l corev1.ResourceList, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range sortedKeys(l) {
		at := at.Key(string(name))
		errs = append(errs, validateQuotaResource(name, at)...)
		errs = append(errs, check.Quantity(name, l[name], at)...)
	}
	return errs
}

func validateQuotaResource(name corev1.ResourceName, at *field.Path) field.ErrorList {
	errs := check.ResourceName(name, at)
	if !strings.Contains(string(name), "/") && !check.IsStandardQuotaResource(name) {
		errs = append(errs, field.Invalid(at, name, "must be a standard resource for quota"))
	}
	return errs
}

func validateQuotaStatus(s *corev1.ResourceQuotaStatus) field.ErrorList {
	at := field.NewPath("status")
	return append(validateQuotaList(s.Hard, at.Child("hard")), validateQuotaList(s.Used, at.Child("used"))...)
}

func validateQuotaSpec(s *corev1.ResourceQuotaSpec) field.ErrorList {
	errs := validateQuotaList(s.Hard, specPath.Child("hard"))
	errs = append(errs, validateScopes(s)...)
	return append(errs, validateScopeSelector(s)...)
}

var quotaScopes = []corev1.ResourceQuotaScope{
	corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating,
	corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort,
	corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity,
	corev1.ResourceQuotaScopeVolumeAttributesClass,
}

// scopeCounts reports whether a scope can narrow down what is counted of a
// resource.
func scopeCounts(scope corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	pods := name == corev1.ResourcePods
	switch scope {
	case corev1.ResourceQuotaScopeBestEffort:
		return pods
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	}
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory:
		return true
	}
	return pods
}

func validateScopes(s *corev1.ResourceQuotaSpec) field.ErrorList {
	var errs field.ErrorList
	at := specPath.Child("scopes")
	bad := func(why string) { errs = append(errs, field.Invalid(at, s.Scopes, why)) }
	for _, scope := range s.Scopes {
		if !slices.Contains(quotaScopes, scope) {
			bad("unsupported scope")
		}
		for _, name := range sortedKeys(s.Hard) {
			if check.IsStandardQuotaResource(name) && !scopeCounts(scope, name) {
				bad("unsupported scope applied to resource")
			}
		}
	}
	for range conflictingScopes(s.Scopes) {
		bad("conflicting scopes")
	}
	return errs
}

// conflictingScopes returns the pairs that no object is in both of.
func conflictingScopes(scopes []corev1.ResourceQuotaScope) [][2]corev1.ResourceQuotaScope {
	var out [][2]corev1.ResourceQuotaScope
	for _, p := range [][2]corev1.ResourceQuotaScope{
		{corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort},
		{corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating},
	} {
		if slices.Contains(scopes, p[0]) && slices.Contains(scopes, p[1]) {
			out = append(out, p)
		}
	}
	return out
}

func validateScopeSelector(s *corev1.ResourceQuotaSpec) field.ErrorList {
	if s.ScopeSelector == nil {
		return nil
	}
	var errs field.ErrorList
	at := specPath.Child("scopeSelector").Child("matchExpressions")
	var seen []corev1.ResourceQuotaScope
	for i := range s.ScopeSelector.MatchExpressions {
		r := &s.ScopeSelector.MatchExpressions[i]
		if !slices.Contains(quotaScopes, r.ScopeName) {
			errs = append(errs, field.Invalid(at.Child("scopeName"), r.ScopeName, "unsupported scope"))
		}
		for _, name := range sortedKeys(s.Hard) {
			if check.IsStandardQuotaResource(name) && !scopeCounts(r.ScopeName, name) {
				errs = append(errs, field.Invalid(at, s.ScopeSelector, "unsupported scope applied to resource"))
			}
		}
		switch r.ScopeName {
		case corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeTerminating,
			corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			if r.Operator != corev1.ScopeSelectorOpExists {
				errs = append(errs, field.Invalid(at.Child("operator"), r.Operator,
					"must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
			}
		}
		switch r.Operator {
		case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
			if len(r.Values) == 0 {
				errs = append(errs, field.Required(at.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
			}
		case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
			if len(r.Values) != 0 {
				errs = append(errs, field.Invalid(at.Child("values"), r.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
			}
		default:
			errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
		}
		seen = append(seen, r.ScopeName)
	}
	for range conflictingScopes(seen) {
		errs = append(errs, field.Invalid(at, s.Scopes, "conflicting scopes"))
	}
	return errs
}
