package core

import (
	"encoding/json"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

const (
	mirrorPodAnnotation  = corev1.MirrorPodAnnotationKey
	tolerationsLegacy    = "scheduler.alpha.kubernetes.io/tolerations"
	seccompPodLegacy     = "seccomp.security.alpha.kubernetes.io/pod"
	seccompContainerPre  = "container.seccomp.security.alpha.kubernetes.io/"
	appArmorContainerPre = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix
)

// validatePodAnnotations checks the annotations of a pod that mean something.
func validatePodAnnotations(annotations map[string]string, spec *corev1.PodSpec, opts PodSpecOptions, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if v, mirror := annotations[mirrorPodAnnotation]; mirror && spec.NodeName == "" {
		errs = append(errs, field.Invalid(at.Key(mirrorPodAnnotation), v, "must set spec.nodeName if mirror pod annotation is set"))
	}
	if v := annotations[tolerationsLegacy]; v != "" {
		var ts []corev1.Toleration
		if err := json.Unmarshal([]byte(v), &ts); err != nil {
			errs = append(errs, field.Invalid(at, tolerationsLegacy, err.Error()))
		} else {
			errs = append(errs, check.Tolerations(ts, at.Child(tolerationsLegacy))...)
		}
	}
	if !opts.AnyDeletionCost {
		errs = append(errs, validateDeletionCost(annotations, at)...)
	}
	if v, ok := annotations[seccompPodLegacy]; ok {
		errs = append(errs, validateSeccompLegacy(v, at.Child(seccompPodLegacy))...)
	}
	for _, k := range sortedKeys(annotations) {
		if strings.HasPrefix(k, seccompContainerPre) {
			errs = append(errs, validateSeccompLegacy(annotations[k], at.Child(k))...)
		}
	}
	for _, k := range sortedKeys(annotations) {
		name, ok := strings.CutPrefix(k, appArmorContainerPre)
		if !ok {
			continue
		}
		found := false
		eachContainer(spec, func(c *corev1.Container) { found = found || c.Name == name })
		if !found {
			errs = append(errs, field.Invalid(at.Key(k), name, "container not found"))
		}
		if v := annotations[k]; v != "" && v != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault &&
			v != corev1.DeprecatedAppArmorBetaProfileNameUnconfined && !strings.HasPrefix(v, corev1.DeprecatedAppArmorBetaProfileNamePrefix) {
			errs = append(errs, field.Invalid(at.Key(k), v, "invalid AppArmor profile name: "+strconv.Quote(v)))
		}
	}
	return errs
}

func validateDeletionCost(annotations map[string]string, at *field.Path) field.ErrorList {
	v, ok := annotations[corev1.PodDeletionCost]
	if !ok {
		return nil
	}
	// Neither a plus sign nor leading zeros, so that there is one way to write
	// a cost.
	plain := v == "0" || v != "" && v[0] != '+' && v[0] != '0'
	if _, err := strconv.ParseInt(v, 10, 32); err != nil || !plain {
		return field.ErrorList{field.Invalid(at.Key(corev1.PodDeletionCost), v, "must be a 32bit integer")}
	}
	return nil
}

func validateSeccompLegacy(v string, at *field.Path) field.ErrorList {
	switch v {
	case "runtime/default", "docker/default", "unconfined":
		return nil
	}
	if p, ok := strings.CutPrefix(v, "localhost/"); ok {
		return check.LocalDescendingPath(p, at)
	}
	return field.ErrorList{field.Invalid(at, v, "must be a valid seccomp profile")}
}

// validatePodAnnotationUpdate keeps annotations as they are that decide how a
// running pod is confined, and whether it is a mirror.
func validatePodAnnotationUpdate(p, old *corev1.Pod, opts PodSpecOptions, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, k := range sortedKeys(old.Annotations) {
		if v, ok := p.Annotations[k]; ok && v == old.Annotations[k] {
			continue
		}
		if strings.HasPrefix(k, appArmorContainerPre) {
			errs = append(errs, field.Forbidden(at.Key(k), "may not remove or update AppArmor annotations"))
		}
		if k == mirrorPodAnnotation {
			errs = append(errs, field.Forbidden(at.Key(k), "may not remove or update mirror pod annotation"))
		}
	}
	for _, k := range sortedKeys(p.Annotations) {
		if _, ok := old.Annotations[k]; ok {
			continue
		}
		if strings.HasPrefix(k, appArmorContainerPre) {
			errs = append(errs, field.Forbidden(at.Key(k), "may not add AppArmor annotations"))
		}
		if k == mirrorPodAnnotation {
			errs = append(errs, field.Forbidden(at.Key(k), "may not add mirror pod annotation"))
		}
	}
	return append(errs, validatePodAnnotations(p.Annotations, &p.Spec, opts, at)...)
}

// confinement is a seccomp or AppArmor profile, of which annotations are an
// older way to write.
type confinement struct {
	what                     string // "seccomp" or "apparmor", as messages name it
	kind                     string
	local                    *string
	runtime, unconfined, pre []string
}

func (c confinement) agrees(annotation string, at *field.Path) field.ErrorList {
	differs := field.ErrorList{field.Forbidden(at.Child("type"), c.what+" type in annotation and field must match")}
	is := func(values []string) field.ErrorList {
		for _, v := range values {
			if annotation == v {
				return nil
			}
		}
		return differs
	}
	switch c.kind {
	case "Unconfined":
		return is(c.unconfined)
	case "RuntimeDefault":
		return is(c.runtime)
	case "Localhost":
		name, ok := strings.CutPrefix(annotation, c.pre[0])
		if !ok {
			return differs
		}
		if c.local == nil || *c.local != name {
			return field.ErrorList{field.Forbidden(at.Child("localhostProfile"), c.what+" profile in annotation and field must match")}
		}
	}
	return nil
}

func seccompConfinement(s *corev1.SeccompProfile) confinement {
	return confinement{"seccomp", string(s.Type), s.LocalhostProfile, []string{"runtime/default", "docker/default"}, []string{"unconfined"}, []string{"localhost/"}}
}

func appArmorConfinement(a *corev1.AppArmorProfile) confinement {
	return confinement{"apparmor", string(a.Type), a.LocalhostProfile, []string{corev1.DeprecatedAppArmorBetaProfileRuntimeDefault},
		[]string{corev1.DeprecatedAppArmorBetaProfileNameUnconfined}, []string{corev1.DeprecatedAppArmorBetaProfileNamePrefix}}
}

// validateSeccompAgreement: where a profile is written both ways, both say the
// same.
func validateSeccompAgreement(annotations map[string]string, spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s := spec.SecurityContext; s != nil && s.SeccompProfile != nil {
		if a, ok := annotations[seccompPodLegacy]; ok {
			errs = append(errs, seccompConfinement(s.SeccompProfile).agrees(a, at.Child("securityContext", "seccompProfile"))...)
		}
	}
	eachContainerAt(spec, at, func(c *corev1.Container, at *field.Path) {
		if c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil {
			return
		}
		if a, ok := annotations[seccompContainerPre+c.Name]; ok {
			errs = append(errs, seccompConfinement(c.SecurityContext.SeccompProfile).agrees(a, at.Child("securityContext", "seccompProfile"))...)
		}
	})
	return errs
}

// validateAppArmorAgreement does the same for AppArmor.
func validateAppArmorAgreement(annotations map[string]string, spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	if spec.OS != nil && spec.OS.Name == corev1.Windows {
		return nil
	}
	var errs field.ErrorList
	eachContainerAt(spec, at, func(c *corev1.Container, at *field.Path) {
		profile := containerAppArmor(spec, c)
		if profile == nil {
			return
		}
		if a, ok := annotations[appArmorContainerPre+c.Name]; ok {
			errs = append(errs, appArmorConfinement(profile).agrees(a, at.Child("securityContext", "appArmorProfile"))...)
		}
	})
	return errs
}

// containerAppArmor is the profile that holds for a container: its own, or
// that of the pod.
func containerAppArmor(spec *corev1.PodSpec, c *corev1.Container) *corev1.AppArmorProfile {
	if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
		return c.SecurityContext.AppArmorProfile
	}
	if spec.SecurityContext != nil {
		return spec.SecurityContext.AppArmorProfile
	}
	return nil
}

// syncAppArmor makes fields of the annotations that AppArmor profiles were once
// written in. Annotations are made of nothing: every node knows the fields.
func syncAppArmor(p *corev1.Pod) {
	if p.Spec.OS != nil && p.Spec.OS.Name == corev1.Windows {
		return
	}
	var whole *corev1.AppArmorProfile
	if p.Spec.SecurityContext != nil {
		whole = p.Spec.SecurityContext.AppArmorProfile
	}
	eachContainer(&p.Spec, func(c *corev1.Container) {
		annotation, annotated := p.Annotations[appArmorContainerPre+c.Name]
		if !annotated || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			return
		}
		made := appArmorProfile(annotation)
		if made == nil || len(validateAppArmor(made, nil)) > 0 || check.Equal(made, whole) {
			return
		}
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		c.SecurityContext.AppArmorProfile = made
	})
}

func appArmorProfile(annotation string) *corev1.AppArmorProfile {
	switch annotation {
	case corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
	if name, ok := strings.CutPrefix(annotation, corev1.DeprecatedAppArmorBetaProfileNamePrefix); ok && name != "" {
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	return nil
}
