package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

func validateAffinity(a *corev1.Affinity, opts PodSpecOptions, at *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	if n := a.NodeAffinity; n != nil {
		at := at.Child("nodeAffinity")
		if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			errs = append(errs, check.NodeSelector(r, opts.AnyNodeAffinityValue, at.Child("requiredDuringSchedulingIgnoredDuringExecution"))...)
		}
		errs = append(errs, check.PreferredSchedulingTerms(n.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("preferredDuringSchedulingIgnoredDuringExecution"))...)
	}
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, at *field.Path) {
		for i := range required {
			errs = append(errs, validatePodAffinityTerm(&required[i], opts, at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))...)
		}
		for i := range preferred {
			at := at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			errs = append(errs, check.Weight(preferred[i].Weight, at.Child("weight"))...)
			errs = append(errs, validatePodAffinityTerm(&preferred[i].PodAffinityTerm, opts, at.Child("podAffinityTerm"))...)
		}
	}
	if p := a.PodAffinity; p != nil {
		terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("podAffinity"))
	}
	if p := a.PodAntiAffinity; p != nil {
		terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("podAntiAffinity"))
	}
	return errs
}

func validatePodAffinityTerm(t *corev1.PodAffinityTerm, opts PodSpecOptions, at *field.Path) field.ErrorList {
	rules := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: opts.AnySelectorValue}
	errs := metavalidation.ValidateLabelSelector(t.LabelSelector, rules, at.Child("labelSelector"))
	errs = append(errs, metavalidation.ValidateLabelSelector(t.NamespaceSelector, rules, at.Child("namespaceSelector"))...)
	for _, n := range t.Namespaces {
		errs = append(errs, check.Messages(apivalidation.ValidateNamespaceName(n, false), n, at.Child("namespace"))...)
	}
	errs = append(errs, validateLabelKeys(t.MatchLabelKeys, t.LabelSelector, at.Child("matchLabelKeys"))...)
	errs = append(errs, validateLabelKeys(t.MismatchLabelKeys, t.LabelSelector, at.Child("mismatchLabelKeys"))...)
	// Upstream reports these at an index of the term itself.
	errs = append(errs, keysSelectedTwice(t.MatchLabelKeys, t.LabelSelector, at)...)
	mismatched := sets.New(t.MismatchLabelKeys...)
	for i, k := range t.MatchLabelKeys {
		if mismatched.Has(k) {
			errs = append(errs, field.Invalid(at.Child("matchLabelKeys").Index(i), k, "exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return append(errs, validateTopologyKey(t.TopologyKey, at.Child("topologyKey"))...)
}

func validateTopologyKey(key string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if key == "" {
		errs = append(errs, field.Required(at, "can not be empty"))
	}
	return append(errs, metavalidation.ValidateLabelName(key, at)...)
}

func validateLabelKeys(keys []string, s *metav1.LabelSelector, at *field.Path) field.ErrorList {
	if len(keys) == 0 {
		return nil
	}
	if s == nil {
		return field.ErrorList{field.Forbidden(at, "must not be specified when labelSelector is not set")}
	}
	var errs field.ErrorList
	for i, k := range keys {
		errs = append(errs, metavalidation.ValidateLabelName(k, at.Index(i))...)
	}
	return errs
}

// keysSelectedTwice finds label keys that the selector names beside the
// requirement that has been made of the key itself.
func keysSelectedTwice(keys []string, s *metav1.LabelSelector, at *field.Path) field.ErrorList {
	if s == nil || len(keys) == 0 {
		return nil
	}
	index := map[string]int{}
	for i, k := range keys {
		index[k] = i
	}
	var errs field.ErrorList
	seen := sets.KeySet(s.MatchLabels)
	for _, e := range s.MatchExpressions {
		if i, ok := index[e.Key]; ok && seen.Has(e.Key) {
			errs = append(errs, field.Invalid(at.Index(i), e.Key, "exists in both matchLabelKeys and labelSelector"))
		}
		seen.Insert(e.Key)
	}
	return errs
}

func validateTopologySpread(cs []corev1.TopologySpreadConstraint, opts PodSpecOptions, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range cs {
		c, at := &cs[i], at.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, check.NotZero))
		}
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
		}
		errs = append(errs, check.OneOf(c.WhenUnsatisfiable, []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}, at.Child("whenUnsatisfiable"))...)
		for _, other := range cs[i+1:] {
			if other.TopologyKey == c.TopologyKey && other.WhenUnsatisfiable == c.WhenUnsatisfiable {
				errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
				break
			}
		}
		errs = append(errs, validateMinDomains(c, at.Child("minDomains"))...)
		inclusion := []corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore}
		if p := c.NodeAffinityPolicy; p != nil {
			errs = append(errs, check.OneOf(*p, inclusion, at.Child("nodeAffinityPolicy"))...)
		}
		if p := c.NodeTaintsPolicy; p != nil {
			errs = append(errs, check.OneOf(*p, inclusion, at.Child("nodeTaintsPolicy"))...)
		}
		errs = append(errs, validateLabelKeys(c.MatchLabelKeys, c.LabelSelector, at.Child("matchLabelKeys"))...)
		errs = append(errs, keysSelectedTwice(c.MatchLabelKeys, c.LabelSelector, at.Child("matchLabelKeys"))...)
		if !opts.AnySpreadSelector {
			errs = append(errs, metavalidation.ValidateLabelSelector(c.LabelSelector, metavalidation.LabelSelectorValidationOptions{}, at.Child("labelSelector"))...)
		}
	}
	return errs
}

func validateMinDomains(c *corev1.TopologySpreadConstraint, at *field.Path) field.ErrorList {
	if c.MinDomains == nil {
		return nil
	}
	var errs field.ErrorList
	if *c.MinDomains <= 0 {
		errs = append(errs, field.Invalid(at, c.MinDomains, check.NotZero))
	}
	if c.WhenUnsatisfiable != corev1.DoNotSchedule {
		errs = append(errs, field.Invalid(at, c.MinDomains, fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, c.WhenUnsatisfiable)))
	}
	return errs
}
