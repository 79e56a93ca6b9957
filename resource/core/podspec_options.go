package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// PodSpecOptions loosen the rules for specs that were stored under older ones:
// what an object has already, it may keep. The zero value is what holds for a
// new object.
type PodSpecOptions struct {
	// AnyHugePages lets amounts through that are no multiple of the page size.
	AnyHugePages bool
	// AnySelectorValue lets label selectors compare with what no label can be.
	AnySelectorValue bool
	// AnyNodeAffinityValue does so for required node affinity.
	AnyNodeAffinityValue bool
	// AnySpreadSelector leaves selectors of topology spread constraints alone.
	AnySpreadSelector bool
	// AnyTokenPath lets a projected token lie outside its volume.
	AnyTokenPath bool
	// HostSysctls lets a pod in the host's namespaces set their sysctls.
	HostSysctls bool
	// AnySELinuxPolicy lets volumes be labelled by mounting them so.
	AnySELinuxPolicy bool
	// AnyDeletionCost lets the annotation be no number.
	AnyDeletionCost bool

	// inPod: the spec is that of a pod, not of a template.
	inPod bool
}

// TemplateOptions returns what holds for an update of a workload with the
// stored template old, or for a creation when old is nil.
func TemplateOptions(old *corev1.PodTemplateSpec) PodSpecOptions {
	if old == nil {
		return PodSpecOptions{}
	}
	return optionsFor(&old.Spec, old.Annotations)
}

// optionsFor finds what an old spec has that a new one could not.
func optionsFor(old *corev1.PodSpec, annotations map[string]string) PodSpecOptions {
	opts := PodSpecOptions{
		AnyDeletionCost:  len(validateDeletionCost(annotations, nil)) > 0,
		HostSysctls:      old.SecurityContext != nil && len(validateHostSysctls(old, nil)) > 0,
		AnySELinuxPolicy: old.SecurityContext != nil && old.SecurityContext.SELinuxChangePolicy != nil,
	}
	eachContainer(old, func(c *corev1.Container) {
		for _, l := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			for name, q := range l {
				opts.AnyHugePages = opts.AnyHugePages || check.IsHugePages(name) && len(check.HugePagesMultiple(name, q, nil)) > 0
			}
		}
	})
	strict := metavalidation.LabelSelectorValidationOptions{}
	for i := range old.TopologySpreadConstraints {
		s := old.TopologySpreadConstraints[i].LabelSelector
		opts.AnySpreadSelector = opts.AnySpreadSelector || len(metavalidation.ValidateLabelSelector(s, strict, field.NewPath(""))) > 0
	}
	for i := range old.Volumes {
		if old.Volumes[i].Projected == nil {
			continue
		}
		for _, p := range old.Volumes[i].Projected.Sources {
			if t := p.ServiceAccountToken; t != nil {
				opts.AnyTokenPath = opts.AnyTokenPath || len(check.LocalNonReservedPath(t.Path, nil)) > 0
			}
		}
	}
	if a := old.Affinity; a != nil {
		if n := a.NodeAffinity; n != nil && n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			opts.AnyNodeAffinityValue = len(check.NodeSelector(n.RequiredDuringSchedulingIgnoredDuringExecution, false, field.NewPath(""))) > 0
		}
		eachPodAffinityTerm(a, func(t *corev1.PodAffinityTerm) {
			for _, s := range []*metav1.LabelSelector{t.LabelSelector, t.NamespaceSelector} {
				opts.AnySelectorValue = opts.AnySelectorValue || s != nil && metavalidation.LabelSelectorHasInvalidLabelValue(s)
			}
		})
	}
	return opts
}

func eachPodAffinityTerm(a *corev1.Affinity, f func(*corev1.PodAffinityTerm)) {
	visit := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i := range required {
			f(&required[i])
		}
		for i := range preferred {
			f(&preferred[i].PodAffinityTerm)
		}
	}
	if p := a.PodAffinity; p != nil {
		visit(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		visit(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}
