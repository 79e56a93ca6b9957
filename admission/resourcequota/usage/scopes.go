package usage

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	helpers "k8s.io/component-helpers/resource"

	proa "proa/resource"
)

// Matches reports whether the scopes of a quota choose an object. All must.
func Matches(q *corev1.ResourceQuotaSpec, obj proa.Object) bool {
	for _, s := range q.Scopes {
		if !inScope(corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists}, obj) {
			return false
		}
	}
	if q.ScopeSelector == nil {
		return true
	}
	for _, r := range q.ScopeSelector.MatchExpressions {
		if !inScope(r, obj) {
			return false
		}
	}
	return true
}

func inScope(r corev1.ScopedResourceSelectorRequirement, obj proa.Object) bool {
	switch o := obj.(type) {
	case *corev1.Pod:
		return podInScope(r, o)
	case *corev1.PersistentVolumeClaim:
		if r.ScopeName == corev1.ResourceQuotaScopeVolumeAttributesClass {
			return claimInScope(r, o)
		}
	}
	return false
}

func podInScope(r corev1.ScopedResourceSelectorRequirement, p *corev1.Pod) bool {
	ends := p.Spec.ActiveDeadlineSeconds != nil && *p.Spec.ActiveDeadlineSeconds >= 0
	switch r.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return ends
	case corev1.ResourceQuotaScopeNotTerminating:
		return !ends
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort(p)
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort(p)
	case corev1.ResourceQuotaScopePriorityClass:
		return chosen(r, p.Spec.PriorityClassName != "", p.Spec.PriorityClassName)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return crossesNamespaces(p)
	}
	return false
}

// chosen applies an operator to a name that may be missing.
func chosen(r corev1.ScopedResourceSelectorRequirement, has bool, name string) bool {
	switch r.Operator {
	case corev1.ScopeSelectorOpExists:
		return has
	case corev1.ScopeSelectorOpDoesNotExist:
		return !has
	case corev1.ScopeSelectorOpIn:
		return has && slices.Contains(r.Values, name)
	case corev1.ScopeSelectorOpNotIn:
		return !has || !slices.Contains(r.Values, name)
	}
	return false
}

// claimInScope: a claim is in the scope of each class that it has, wants or is
// being changed to.
func claimInScope(r corev1.ScopedResourceSelectorRequirement, c *corev1.PersistentVolumeClaim) bool {
	var names []string
	add := func(n *string) {
		if n != nil && *n != "" && !slices.Contains(names, *n) {
			names = append(names, *n)
		}
	}
	add(c.Spec.VolumeAttributesClassName)
	add(c.Status.CurrentVolumeAttributesClassName)
	if m := c.Status.ModifyVolumeStatus; m != nil {
		add(&m.TargetVolumeAttributesClassName)
	}
	if len(names) == 0 {
		return chosen(r, false, "")
	}
	return slices.ContainsFunc(names, func(n string) bool { return chosen(r, true, n) })
}

// bestEffort: nothing is requested and nothing limited, of what matters for
// the quality of service.
func bestEffort(p *corev1.Pod) bool {
	matters := func(l corev1.ResourceList) bool {
		for _, k := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if v, ok := l[k]; ok && !v.IsZero() {
				return true
			}
		}
		return false
	}
	if p.Spec.Resources != nil && (matters(p.Spec.Resources.Requests) || matters(p.Spec.Resources.Limits)) {
		return false
	}
	return !matters(helpers.PodRequests(p, helpers.PodResourcesOptions{})) && !matters(helpers.PodLimits(p, helpers.PodResourcesOptions{}))
}

func crossesNamespaces(p *corev1.Pod) bool {
	a := p.Spec.Affinity
	if a == nil {
		return false
	}
	crosses := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) bool {
		for _, t := range required {
			if len(t.Namespaces) > 0 || t.NamespaceSelector != nil {
				return true
			}
		}
		for _, t := range preferred {
			if len(t.PodAffinityTerm.Namespaces) > 0 || t.PodAffinityTerm.NamespaceSelector != nil {
				return true
			}
		}
		return false
	}
	return a.PodAffinity != nil && crosses(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution) ||
		a.PodAntiAffinity != nil && crosses(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
}
