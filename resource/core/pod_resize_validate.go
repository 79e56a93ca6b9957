package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// validatePodResize checks a request to the resize subresource. The pods
// differ in nothing but resources and resize policies, or have other containers.
func validatePodResize(p, old *corev1.Pod) field.ErrorList {
	refuse := func(why string) field.ErrorList {
		return field.ErrorList{field.Forbidden(field.NewPath(""), why)}
	}
	if _, mirror := old.Annotations[mirrorPodAnnotation]; mirror {
		return refuse("static pods cannot be resized")
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		return refuse("windows pods cannot be resized")
	}
	errs := append(
		sameContainers(p.Spec.InitContainers, old.Spec.InitContainers, "initContainers"),
		sameContainers(p.Spec.Containers, old.Spec.Containers, "containers")...)
	if len(errs) > 0 {
		return errs
	}
	errs = validatePodMetaAndSpec(p, optionsFor(&old.Spec, old.Annotations))
	was := old.Status.QOSClass
	if was == "" {
		was = QOSClass(old)
	}
	if was != QOSClass(p) {
		errs = append(errs, field.Invalid(specPath, p.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !nodeResizes(old) {
		errs = append(errs, field.Forbidden(specPath, "Pod running on node without support for resize"))
	}
	lists := func(cs, was []corev1.Container, name string) {
		for i := range was {
			errs = append(errs, validateResize(&cs[i].Resources, &was[i].Resources, specPath.Child(name).Index(i).Child("resources"))...)
		}
	}
	lists(p.Spec.InitContainers, old.Spec.InitContainers, "initContainers")
	lists(p.Spec.Containers, old.Spec.Containers, "containers")
	if p.Spec.Resources != nil && old.Spec.Resources != nil {
		errs = append(errs, validateResize(p.Spec.Resources, old.Spec.Resources, specPath.Child("resources"))...)
	}

	s := p.Spec.DeepCopy()
	for i := range s.Containers {
		restoreCompute(&s.Containers[i].Resources, &old.Spec.Containers[i].Resources)
		if !check.Equal(s.Containers[i], old.Spec.Containers[i]) {
			errs = append(errs, field.Forbidden(specPath, "only cpu and memory resources are mutable"))
		}
	}
	for i := range s.InitContainers {
		c, was := &s.InitContainers[i], &old.Spec.InitContainers[i]
		restoreCompute(&c.Resources, &was.Resources)
		if !check.Equal(*c, *was) {
			errs = append(errs, field.Forbidden(specPath.Child("initContainers").Index(i), "only cpu and memory resources for init or sidecar containers are mutable"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if s.Resources != nil && old.Spec.Resources != nil {
		restoreCompute(s.Resources, old.Spec.Resources)
	}
	if !check.Equal(*s, old.Spec) {
		errs = append(errs, field.Forbidden(specPath, "only cpu and memory resources are mutable"))
	}
	return errs
}

// sameContainers refuses containers that are not the old ones, in their order.
func sameContainers(now, was []corev1.Container, list string) field.ErrorList {
	at := specPath.Child(list)
	if len(now) != len(was) {
		return field.ErrorList{field.Forbidden(at, list+" may not be added or removed on resize")}
	}
	var errs field.ErrorList
	for i := range now {
		if now[i].Name != was[i].Name {
			errs = append(errs, field.Forbidden(at.Index(i).Child("name"), list+" may not be renamed or reordered on resize"))
		}
	}
	return errs
}

// nodeResizes reports whether the node shows what a running container has been
// given, as those that can resize do.
func nodeResizes(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		if c := &p.Status.ContainerStatuses[i]; c.State.Running != nil {
			return c.Resources != nil
		}
	}
	return true
}

func validateResize(now, was *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if removed(now.Requests, was.Requests) {
		errs = append(errs, field.Forbidden(at.Child("requests"), "resource requests cannot be removed"))
	}
	if removed(now.Limits, was.Limits) {
		errs = append(errs, field.Forbidden(at.Child("limits"), "resource limits cannot be removed"))
	}
	return errs
}

func removed(now, was corev1.ResourceList) bool {
	for name := range was {
		if _, ok := now[name]; !ok {
			return true
		}
	}
	return false
}

// restoreCompute puts back what a resize may change.
func restoreCompute(r, was *corev1.ResourceRequirements) {
	list := func(l, was corev1.ResourceList) corev1.ResourceList {
		if was == nil {
			was = corev1.ResourceList{}
		}
		out := corev1.ResourceList{}
		for name, q := range l {
			if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
				out[name] = q
			}
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := was[name]; ok {
				out[name] = q
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	}
	r.Limits = list(r.Limits, was.Limits)
	r.Requests = list(r.Requests, was.Requests)
	r.Claims = was.Claims
}
