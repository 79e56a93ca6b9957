package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource/check"
)

func validateNode(n *corev1.Node) field.ErrorList {
	errs := validateNodeAnnotations(n.Annotations)
	errs = append(errs, validateTaints(n.Spec.Taints, metaPath.Child("taints"))...)
	errs = append(errs, validateNodeResources(n)...)
	if swap := n.Status.NodeInfo.Swap; swap != nil && swap.Capacity != nil && *swap.Capacity <= 0 {
		// Upstream reports it below the metadata.
		errs = append(errs, field.Invalid(metaPath.Child("nodeSwapStatus", "capacity"), *swap.Capacity, "must be greater than zero"))
	}
	errs = append(errs, validateDeclaredFeatures(n.Status.DeclaredFeatures)...)
	cidrs := field.NewPath("spec", "podCIDRs")
	for i, c := range n.Spec.PodCIDRs {
		errs = append(errs, validation.IsValidCIDRForLegacyField(cidrs.Index(i), c, true, nil)...)
	}
	if len(n.Spec.PodCIDRs) > 1 {
		dual, err := netutils.IsDualStackCIDRStrings(n.Spec.PodCIDRs)
		if err != nil {
			errs = append(errs, field.InternalError(cidrs, fmt.Errorf("invalid PodCIDRs. failed to check with dual stack with error:%v", err)))
		}
		if !dual || len(n.Spec.PodCIDRs) > 2 {
			errs = append(errs, field.Invalid(cidrs, n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
		}
	}
	return errs
}

// validateNodeUpdate is for what may change. An update of the status is checked by
// it alone.
func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	errs := validateNodeAnnotations(n.Annotations)
	errs = append(errs, validateNodeResources(n)...)
	errs = append(errs, validateDeclaredFeatures(n.Status.DeclaredFeatures)...)

	seen := map[corev1.NodeAddress]bool{}
	for i, a := range n.Status.Addresses {
		if seen[a] {
			errs = append(errs, field.Duplicate(field.NewPath("status", "addresses").Index(i), a))
		}
		seen[a] = true
	}

	spec := field.NewPath("spec")
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(spec.Child("podCIDRs"), `node updates may not change podCIDR except from "" to valid`))
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		errs = append(errs, field.Forbidden(spec.Child("providerID"), `node updates may not change providerID except from "" to valid`))
	}
	errs = append(errs, validateNodeConfig(n)...)
	errs = append(errs, validateTaints(n.Spec.Taints, metaPath.Child("taints"))...)
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		errs = append(errs, field.Forbidden(spec.Child("externalID"), "may not be updated"))
	}
	return errs
}

// declaredFeature is the form of a feature's name: MyFeature, or MyFeature/part.
var declaredFeature = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*$`)

func validateDeclaredFeatures(names []string) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("status", "declaredFeatures")
	for i, name := range names {
		switch {
		case len(name) > validation.DNS1123SubdomainMaxLength:
			errs = append(errs, field.Invalid(at.Index(i), name, fmt.Sprintf("invalid feature name %q: must be no more than %d characters", name, validation.DNS1123SubdomainMaxLength)))
		case !declaredFeature.MatchString(name):
			errs = append(errs, field.Invalid(at.Index(i), name, fmt.Sprintf("invalid feature name %q: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes", name)))
		}
		if i == 0 {
			continue
		}
		switch before := names[i-1]; {
		case name == before:
			errs = append(errs, field.Duplicate(at.Index(i), name))
		case name < before:
			errs = append(errs, field.Invalid(at.Index(i), name, "list must be sorted alphabetically"))
		}
	}
	return errs
}

func validateNodeResources(n *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	list := func(name string, l corev1.ResourceList) {
		for _, r := range slices.Sorted(maps.Keys(l)) {
			errs = append(errs, check.Quantity(r, l[r], field.NewPath("status", name, string(r)))...)
		}
	}
	list("capacity", n.Status.Capacity)
	list("allocatable", n.Status.Allocatable)
	return errs
}

// validateTaints is given a path below the metadata, where upstream reports
// the taints of the spec.
func validateTaints(taints []corev1.Taint, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.TaintEffect]map[string]bool{}
	for i, t := range taints {
		at := at.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		if m := validation.IsValidLabelValue(t.Value); len(m) != 0 {
			errs = append(errs, field.Invalid(at.Child("value"), t.Value, strings.Join(m, ";")))
		}
		errs = append(errs, check.TaintEffect(t.Effect, at.Child("effect"))...)
		if seen[t.Effect][t.Key] {
			e := field.Duplicate(at, t)
			e.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, e)
			continue
		}
		if seen[t.Effect] == nil {
			seen[t.Effect] = map[string]bool{}
		}
		seen[t.Effect][t.Key] = true
	}
	return errs
}

const taintsLegacy = "scheduler.alpha.kubernetes.io/taints"

func validateNodeAnnotations(annotations map[string]string) field.ErrorList {
	at := metaPath.Child("annotations")
	var errs field.ErrorList
	if value := annotations[taintsLegacy]; value != "" {
		var taints []corev1.Taint
		if err := json.Unmarshal([]byte(value), &taints); err != nil {
			errs = append(errs, field.Invalid(at, taintsLegacy, err.Error()))
		}
		errs = append(errs, validateTaints(taints, at.Child(taintsLegacy))...)
	}
	value := annotations[corev1.PreferAvoidPodsAnnotationKey]
	if value == "" {
		return errs
	}
	var avoid corev1.AvoidPods
	if err := json.Unmarshal([]byte(value), &avoid); err != nil {
		return append(errs, field.Invalid(at.Child("AvoidPods"), corev1.PreferAvoidPodsAnnotationKey, err.Error()))
	}
	at = at.Child(corev1.PreferAvoidPodsAnnotationKey)
	for i, p := range avoid.PreferAvoidPods {
		at := at.Index(i).Child("PodSignature")
		c := p.PodSignature.PodController
		if c == nil {
			errs = append(errs, field.Required(at, ""))
		} else if c.Controller == nil || !*c.Controller {
			errs = append(errs, field.Invalid(at.Child("PodController").Child("Controller"), false, "must point to a controller"))
		}
	}
	return errs
}

func nodeWarnings(n, _ *corev1.Node) []string {
	var w []string
	if n.Spec.ConfigSource != nil {
		w = append(w, "spec.configSource: the feature is removed in v1.24; this field is ignored")
	}
	if n.Spec.DoNotUseExternalID != "" {
		w = append(w, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	return w
}
