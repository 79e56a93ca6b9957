package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"proa/resource"
	"proa/resource/check"
)

func preparePodCreate(r *resource.Request, p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: QOSClass(p)}
	// Admission may have chosen the account.
	p.Spec.DeprecatedServiceAccount = p.Spec.ServiceAccountName
	DropDisabledPodFields(&p.Spec, nil)
	gateScheduling(p, r.Now)
	mergeMatchLabelKeys(p)
	syncAppArmor(p)
}

func preparePodUpdate(_ *resource.Request, p, old *corev1.Pod) {
	p.Status = old.Status
	DropDisabledPodFields(&p.Spec, &old.Spec)
}

func preparePodStatus(_ *resource.Request, p, old *corev1.Pod) {
	p.Spec = old.Spec
	p.DeletionTimestamp = old.DeletionTimestamp
	// Old kubelets would corrupt the owners.
	p.OwnerReferences = old.OwnerReferences
	if old.Status.NodeAllocatableResourceClaimStatuses == nil {
		// Of a feature that is off by default in this release.
		p.Status.NodeAllocatableResourceClaimStatuses = nil
	}
	// The class never changes, which validation says; old kubelets leave it out.
	if p.Status.QOSClass == "" {
		p.Status.QOSClass = old.Status.QOSClass
	}
	// A kubelet that does not report the generation must not undo one that did.
	if p.Status.ObservedGeneration == 0 {
		p.Status.ObservedGeneration = old.Status.ObservedGeneration
	}
	keepConditionGenerations(p, old)
}

// keepConditionGenerations does for conditions what the line above does for
// the status as a whole.
func keepConditionGenerations(p, old *corev1.Pod) {
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.ObservedGeneration != 0 {
			continue
		}
		for j := range old.Status.Conditions {
			if was := &old.Status.Conditions[j]; was.Type == c.Type && was.Status == c.Status && was.Reason == c.Reason {
				c.ObservedGeneration = was.ObservedGeneration
			}
		}
	}
}

// preparePodEphemeralContainers takes over the ephemeral containers and
// nothing else.
func preparePodEphemeralContainers(_ *resource.Request, p, old *corev1.Pod) {
	ephemeral := p.Spec.EphemeralContainers
	keepManaged := p.ManagedFields
	version := p.ResourceVersion
	old.DeepCopyInto(p)
	p.ManagedFields, p.ResourceVersion = keepManaged, version
	p.Spec.EphemeralContainers = ephemeral
	DropDisabledPodFields(&p.Spec, &old.Spec)
}

// preparePodResize takes over what a resize may change: the resources and
// resize policies of the containers that there are, and those of the pod.
func preparePodResize(_ *resource.Request, p, old *corev1.Pod) {
	wanted, managed, version := p.Spec, p.ManagedFields, p.ResourceVersion
	old.DeepCopyInto(p)
	p.ManagedFields, p.ResourceVersion = managed, version
	p.Spec.Containers = takeResources(p.Spec.Containers, wanted.Containers)
	p.Spec.InitContainers = takeResources(p.Spec.InitContainers, wanted.InitContainers)
	p.Spec.Resources = wanted.Resources
	DropDisabledPodFields(&p.Spec, &old.Spec)
}

// takeResources puts the wanted resources and resize policies on the containers
// that there are. If others are wanted, those are what validation is to refuse.
func takeResources(cs, wanted []corev1.Container) []corev1.Container {
	if !slices.EqualFunc(cs, wanted, func(a, b corev1.Container) bool { return a.Name == b.Name }) {
		return wanted
	}
	for i := range cs {
		cs[i].Resources, cs[i].ResizePolicy = wanted[i].Resources, wanted[i].ResizePolicy
	}
	return cs
}

// gateScheduling says in a new pod's status that gates hold it back, so that
// nobody wonders before a scheduler has looked at it.
func gateScheduling(p *corev1.Pod, now metav1.Time) {
	if len(p.Spec.SchedulingGates) == 0 {
		return
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type:    corev1.PodScheduled,
		Status:  corev1.ConditionFalse,
		Reason:  corev1.PodReasonSchedulingGated,
		Message: "Scheduling is blocked due to non-empty scheduling gates",

		LastTransitionTime: now,
	})
}

// mergeMatchLabelKeys turns matchLabelKeys into requirements of the selector
// beside them, with the values that this pod has.
func mergeMatchLabelKeys(p *corev1.Pod) {
	merge := func(s *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator) {
		if s == nil {
			return
		}
		for _, k := range keys {
			if v, ok := p.Labels[k]; ok {
				s.MatchExpressions = append(slices.Clip(s.MatchExpressions), metav1.LabelSelectorRequirement{Key: k, Operator: op, Values: []string{v}})
			}
		}
	}
	term := func(t *corev1.PodAffinityTerm) {
		merge(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn)
		merge(t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
	}
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i := range preferred {
			term(&preferred[i].PodAffinityTerm)
		}
		for i := range required {
			term(&required[i])
		}
	}
	if a := p.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range p.Spec.TopologySpreadConstraints {
		c := &p.Spec.TopologySpreadConstraints[i]
		merge(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

// defaultPodResources completes resources set for a pod as a whole: what is
// limited is asked for, as much as the containers ask for, or else the limit.
func defaultPodResources(p *corev1.Pod) {
	r := p.Spec.Resources
	if r == nil || len(r.Limits)+len(r.Requests) == 0 {
		return
	}
	limits := resourcehelper.AggregateContainerLimits(p, resourcehelper.PodResourcesOptions{})
	for name, q := range limits {
		// Huge pages cannot be overcommitted: the pod's limit is the sum.
		if _, ok := r.Limits[name]; ok || !check.IsHugePages(name) {
			continue
		}
		if r.Limits == nil {
			r.Limits = corev1.ResourceList{}
		}
		r.Limits[name] = q.DeepCopy()
	}
	requests := resourcehelper.AggregateContainerRequests(p, resourcehelper.PodResourcesOptions{})
	add := func(name corev1.ResourceName, l corev1.ResourceList) {
		if _, ok := r.Requests[name]; ok || !resourcehelper.IsSupportedPodLevelResource(name) {
			return
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		q := l[name]
		r.Requests[name] = q.DeepCopy()
	}
	for name := range requests {
		if check.IsOvercommitAllowed(name) {
			add(name, requests)
		}
	}
	for name := range r.Limits {
		add(name, r.Limits)
	}
}
