package core

import (
	"fmt"
	"math"
	"strings"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

var (
	metaPath = field.NewPath("metadata")
	specPath = field.NewPath("spec")
)

// ValidatePod checks a new pod after defaulting, all but its common metadata.
func ValidatePod(p *corev1.Pod) field.ErrorList {
	errs := validatePodMetaAndSpec(p, PodSpecOptions{})
	if len(p.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(specPath.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if p.Spec.NodeName != "" && len(p.Spec.SchedulingGates) != 0 {
		errs = append(errs, field.Forbidden(specPath.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	errs = append(errs, validateSeccompAgreement(p.Annotations, &p.Spec, specPath)...)
	return append(errs, validateAppArmorAgreement(p.Annotations, &p.Spec, specPath)...)
}

func validatePodMetaAndSpec(p *corev1.Pod, opts PodSpecOptions) field.ErrorList {
	opts.inPod = true
	errs := validatePodAnnotations(p.Annotations, &p.Spec, opts, metaPath.Child("annotations"))
	errs = append(errs, ValidatePodSpec(&p.Spec, &p.ObjectMeta, specPath, opts)...)
	if p.Spec.ServiceAccountName == "" {
		for i := range p.Spec.Volumes {
			if p.Spec.Volumes[i].Projected == nil {
				continue
			}
			for j, s := range p.Spec.Volumes[i].Projected.Sources {
				if s.ServiceAccountToken != nil {
					errs = append(errs, field.Forbidden(specPath.Child("volumes").Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken"),
						"must not be specified when serviceAccountName is not set"))
				}
			}
		}
	}
	for i := range p.Spec.Containers {
		errs = append(errs, validateImageSpace(&p.Spec.Containers[i], specPath.Child("containers").Index(i))...)
	}
	for i := range p.Spec.InitContainers {
		errs = append(errs, validateImageSpace(&p.Spec.InitContainers[i], specPath.Child("initContainers").Index(i))...)
	}
	return errs
}

// updatablePodFields is what the refusal of any other change says.
var updatablePodFields = strings.Join([]string{
	"`spec.containers[*].image`",
	"`spec.initContainers[*].image`",
	"`spec.activeDeadlineSeconds`",
	"`spec.tolerations` (only additions to existing tolerations)",
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
}, ",")

func validatePodUpdate(p, old *corev1.Pod) field.ErrorList {
	opts := optionsFor(&old.Spec, old.Annotations)
	errs := validatePodMetaAndSpec(p, opts)
	errs = append(errs, validatePodAnnotationUpdate(p, old, opts, metaPath.Child("annotations"))...)
	for _, l := range []struct {
		name     string
		now, was []corev1.Container
	}{
		{"containers", p.Spec.Containers, old.Spec.Containers},
		{"initContainers", p.Spec.InitContainers, old.Spec.InitContainers},
	} {
		at := specPath.Child(l.name)
		if len(l.now) != len(l.was) {
			return append(errs, field.Forbidden(at, "pod updates may not add or remove containers"))
		}
		for i := range l.now {
			errs = append(errs, required(at.Index(i), "image", l.now[i].Image)...)
			errs = append(errs, validateImageSpace(&l.now[i], at.Index(i))...)
		}
	}
	bad, stop := validateDeadlineUpdate(p.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds, specPath.Child("activeDeadlineSeconds"))
	if errs = append(errs, bad...); stop {
		return errs
	}
	errs = append(errs, validateTolerationsUpdate(p.Spec.Tolerations, old.Spec.Tolerations, specPath.Child("tolerations"))...)
	errs = append(errs, validateGatesUpdate(p.Spec.SchedulingGates, old.Spec.SchedulingGates, specPath.Child("schedulingGates"))...)
	if check.Equal(&p.Spec, &old.Spec) {
		return errs
	}

	// What may change has been checked: put it back and see if more did.
	s := p.Spec.DeepCopy()
	for i := range s.Containers {
		s.Containers[i].Image = old.Spec.Containers[i].Image
	}
	for i := range s.InitContainers {
		s.InitContainers[i].Image = old.Spec.InitContainers[i].Image
	}
	s.ActiveDeadlineSeconds = old.Spec.ActiveDeadlineSeconds
	s.SchedulingGates = old.Spec.SchedulingGates
	s.Tolerations = old.Spec.Tolerations
	if was, now := old.Spec.TerminationGracePeriodSeconds, s.TerminationGracePeriodSeconds; was != nil && *was < 0 && now != nil && *now == 1 {
		s.TerminationGracePeriodSeconds = was
	}
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, validateGatedPodUpdate(s, &old.Spec)...)
	}
	if !check.Equal(s, &old.Spec) {
		errs = append(errs, field.Forbidden(specPath, fmt.Sprintf("pod updates may not change fields other than %s\n%v", updatablePodFields, cmp.Diff(old.Spec, *s))))
	}
	return errs
}

// validateDeadlineUpdate: a deadline may be set, and then only be lowered.
// With stop set, the request has been refused for good.
func validateDeadlineUpdate(now, was *int64, at *field.Path) (errs field.ErrorList, stop bool) {
	switch {
	case now == nil && was != nil:
		return field.ErrorList{field.Invalid(at, now, "must not update from a positive integer to nil value")}, false
	case now == nil:
		return nil, false
	case *now < 0 || *now > math.MaxInt32:
		return field.ErrorList{field.Invalid(at, *now, validation.InclusiveRangeError(0, math.MaxInt32))}, true
	case was != nil && *was < *now:
		return field.ErrorList{field.Invalid(at, *now, "must be less than or equal to previous value")}, true
	}
	return nil, false
}

func validateTolerationsUpdate(now, was []corev1.Toleration, at *field.Path) field.ErrorList {
	for _, o := range was {
		kept := false
		for _, n := range now {
			// How long something is tolerated may change.
			o.TolerationSeconds = n.TolerationSeconds
			kept = kept || o == n
		}
		if !kept {
			return field.ErrorList{field.Forbidden(at, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return check.Tolerations(now, at)
}

func validateGatesUpdate(now, was []corev1.PodSchedulingGate, at *field.Path) field.ErrorList {
	had := map[string]bool{}
	for _, g := range was {
		had[g.Name] = true
	}
	var errs field.ErrorList
	for i, g := range now {
		if !had[g.Name] {
			errs = append(errs, field.Forbidden(at.Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	return errs
}

// validateGatedPodUpdate: the requirements on nodes of a pod that no scheduler
// has looked at may still become stricter. It puts back in s what has changed.
func validateGatedPodUpdate(s, old *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	if !check.Equal(s.NodeSelector, old.NodeSelector) {
		at := specPath.Child("nodeSelector")
		for _, k := range sortedKeys(old.NodeSelector) {
			if v, ok := s.NodeSelector[k]; !ok || v != old.NodeSelector[k] {
				errs = append(errs, field.Invalid(at, s.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
				break
			}
		}
		s.NodeSelector = old.NodeSelector
	}
	var was, now *corev1.NodeAffinity
	if old.Affinity != nil {
		was = old.Affinity.NodeAffinity
	}
	if s.Affinity != nil {
		now = s.Affinity.NodeAffinity
	}
	if check.Equal(was, now) {
		return errs
	}
	errs = append(errs, validateNodeAffinityNarrowed(now, was, specPath.Child("affinity", "nodeAffinity"))...)
	switch {
	case s.Affinity == nil:
		s.Affinity = &corev1.Affinity{NodeAffinity: was}
	case old.Affinity == nil && s.Affinity.PodAffinity == nil && s.Affinity.PodAntiAffinity == nil:
		s.Affinity = nil
	default:
		s.Affinity.NodeAffinity = was
	}
	return errs
}

func validateNodeAffinityNarrowed(now, was *corev1.NodeAffinity, at *field.Path) field.ErrorList {
	var before, after []corev1.NodeSelectorTerm
	if was != nil && was.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		before = was.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	if now != nil && now.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		after = now.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	if len(before) == 0 {
		return nil
	}
	at = at.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	// Terms are alternatives, so one more would widen the choice.
	if len(before) != len(after) {
		return field.ErrorList{field.Invalid(at, after, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")}
	}
	var errs field.ErrorList
	for i := range before {
		unbounded := len(before[i].MatchExpressions)+len(before[i].MatchFields) == 0 && len(after[i].MatchExpressions)+len(after[i].MatchFields) > 0
		if unbounded || !prefixOf(before[i].MatchExpressions, after[i].MatchExpressions) || !prefixOf(before[i].MatchFields, after[i].MatchFields) {
			errs = append(errs, field.Invalid(at.Index(i), after[i], "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

func prefixOf(before, after []corev1.NodeSelectorRequirement) bool {
	return len(before) <= len(after) && check.Equal(before, after[:len(before)])
}

// validatePodEphemeralContainersUpdate: ephemeral containers are added, and
// then stay as they are.
func validatePodEphemeralContainersUpdate(p, old *corev1.Pod) field.ErrorList {
	if _, mirror := old.Annotations[mirrorPodAnnotation]; mirror {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")}
	}
	opts := optionsFor(&old.Spec, old.Annotations)
	errs := validatePodMetaAndSpec(p, opts)
	errs = append(errs, validatePodAnnotationUpdate(p, old, opts, metaPath.Child("annotations"))...)
	at := specPath.Child("ephemeralContainers")
	now := map[string]*corev1.EphemeralContainer{}
	for i := range p.Spec.EphemeralContainers {
		now[p.Spec.EphemeralContainers[i].Name] = &p.Spec.EphemeralContainers[i]
	}
	for _, o := range old.Spec.EphemeralContainers {
		if n, ok := now[o.Name]; !ok {
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", o.Name)))
		} else if !check.Equal(o, *n) {
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", o.Name, cmp.Diff(o, *n))))
		}
	}
	return errs
}
