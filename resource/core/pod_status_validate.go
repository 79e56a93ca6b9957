package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource/check"
)

func validatePodStatusUpdate(p, old *corev1.Pod) field.ErrorList {
	opts := optionsFor(&old.Spec, old.Annotations)
	errs := validatePodAnnotationUpdate(p, old, opts, metaPath.Child("annotations"))
	at := field.NewPath("status")
	for i, c := range p.Status.Conditions {
		at := at.Child("conditions").Index(i)
		if c.ObservedGeneration < 0 {
			errs = append(errs, field.Invalid(at.Child("observedGeneration"), c.ObservedGeneration, nonNegativeInteger))
		}
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized:
			continue
		}
		// Upstream writes it so.
		errs = append(errs, check.QualifiedName(string(c.Type), at.Child("Type"))...)
	}
	s, was := &p.Status, &old.Status
	if p.Spec.NodeName != old.Spec.NodeName {
		errs = append(errs, field.Forbidden(at.Child("nodeName"), "may not be changed directly"))
	}
	if n := s.NominatedNodeName; n != was.NominatedNodeName && n != "" {
		errs = append(errs, check.NodeName(n, at.Child("nominatedNodeName"))...)
		if old.Spec.NodeName != "" {
			errs = append(errs, field.Forbidden(at.Child("nominatedNodeName"), "may not be set on pods that are already bound to a node"))
		}
	}
	if s.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(at.Child("observedGeneration"), s.ObservedGeneration, nonNegativeInteger))
	}
	errs = append(errs, check.Unchanged(s.QOSClass, was.QOSClass, at.Child("qosClass"))...)

	errs = append(errs, validateTransitions(s.ContainerStatuses, was.ContainerStatuses, old, at.Child("containerStatuses"))...)
	errs = append(errs, validateTransitions(s.InitContainerStatuses, was.InitContainerStatuses, old, at.Child("initContainerStatuses"))...)
	errs = append(errs, validateTransitions(s.EphemeralContainerStatuses, was.EphemeralContainerStatuses, nil, at.Child("ephemeralContainerStatuses"))...)
	errs = append(errs, validateClaimStatuses(s.ResourceClaimStatuses, p.Spec.ResourceClaims, at.Child("resourceClaimStatuses"))...)
	errs = append(errs, validateExtendedClaim(s.ExtendedResourceClaimStatus, &p.Spec, at.Child("extendedResourceClaimStatus"))...)

	errs = append(errs, validateIPs(podIPs(s.PodIPs), podIPs(was.PodIPs), s.PodIPs, at.Child("podIPs"))...)
	hosts := hostIPs(s.HostIPs)
	if len(hosts) > 0 && s.HostIP != hosts[0] {
		errs = append(errs, field.Invalid(at.Child("hostIPs").Index(0).Child("ip"), hosts[0], "must be equal to `hostIP`"))
	}
	errs = append(errs, validateIPs(hosts, hostIPs(was.HostIPs), s.HostIPs, at.Child("hostIPs"))...)
	for _, l := range []struct {
		name     string
		statuses []corev1.ContainerStatus
	}{
		{"containerStatuses", s.ContainerStatuses},
		{"initContainerStatuses", s.InitContainerStatuses},
		{"ephemeralContainerStatuses", s.EphemeralContainerStatuses},
	} {
		errs = append(errs, validateStatusUsers(l.statuses, p.Spec.OS, at.Child(l.name))...)
	}
	errs = append(errs, validateDeviceHealth(s.ContainerStatuses, p.Spec.Containers, at.Child("containerStatuses"))...)
	errs = append(errs, validateDeviceHealth(s.InitContainerStatuses, p.Spec.InitContainers, at.Child("initContainerStatuses"))...)
	for i := range s.EphemeralContainerStatuses {
		if len(s.EphemeralContainerStatuses[i].AllocatedResourcesStatus) > 0 {
			errs = append(errs, field.Forbidden(at.Child("ephemeralContainerStatuses").Index(i).Child("allocatedResourcesStatus"), "must not be specified in container status"))
		}
	}
	return errs
}

// validateDeviceHealth: a node reports on the health of what a container asks
// for, each device once.
func validateDeviceHealth(statuses []corev1.ContainerStatus, containers []corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range statuses {
		for j, r := range statuses[i].AllocatedResourcesStatus {
			at := at.Index(i).Child("allocatedResourcesStatus").Index(j)
			errs = append(errs, validateAsked(r.Name, statuses[i].Name, containers, at.Child("name"))...)
			seen := map[corev1.ResourceID]bool{}
			for k, d := range r.Resources {
				at := at.Child("resources").Index(k)
				health := []corev1.ResourceHealthStatus{corev1.ResourceHealthStatusHealthy, corev1.ResourceHealthStatusUnhealthy, corev1.ResourceHealthStatusUnknown}
				errs = append(errs, check.OneOf(d.Health, health, at.Child("health"))...)
				if seen[d.ResourceID] {
					errs = append(errs, field.Duplicate(at.Child("resourceID"), d.ResourceID))
				}
				seen[d.ResourceID] = true
			}
		}
	}
	return errs
}

// validateAsked accepts any name for a container that there is not.
func validateAsked(name corev1.ResourceName, container string, containers []corev1.Container, at *field.Path) field.ErrorList {
	for i := range containers {
		c := &containers[i]
		if c.Name != container {
			continue
		}
		if !strings.HasPrefix(string(name), "claim:") {
			if _, ok := c.Resources.Requests[name]; ok {
				return nil
			}
			return field.ErrorList{field.Invalid(at, name, "must match one of the container's resource requests")}
		}
		for _, r := range c.Resources.Claims {
			claim := "claim:" + r.Name
			if r.Request != "" {
				claim += "/" + r.Request
			}
			if claim == string(name) {
				return nil
			}
		}
		return field.ErrorList{field.Invalid(at, name, "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty")}
	}
	return nil
}

// validateTransitions keeps a container that has ended for good from running
// again. Containers of a nil pod never restart.
func validateTransitions(now, was []corev1.ContainerStatus, pod *corev1.Pod, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range was {
		t := was[i].State.Terminated
		if t == nil || pod != nil && mayRestart(pod, was[i].Name, t.ExitCode) {
			continue
		}
		for j := range now {
			if now[j].Name == was[i].Name && now[j].State.Terminated == nil {
				errs = append(errs, field.Forbidden(at.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
			}
		}
	}
	return errs
}

// mayRestart applies the restart policy of the pod, and before it the rules
// and the policy of the container itself.
func mayRestart(pod *corev1.Pod, name string, exit int32) bool {
	policy := pod.Spec.RestartPolicy
	answer := func() bool {
		return policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && exit != 0
	}
	for _, cs := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range cs {
			if cs[i].Name != name {
				continue
			}
			if cs[i].RestartPolicy != nil {
				policy = corev1.RestartPolicy(*cs[i].RestartPolicy)
			}
			return answer() || len(cs[i].RestartPolicyRules) > 0
		}
	}
	return answer()
}

func validateClaimStatuses(statuses []corev1.PodResourceClaimStatus, claims []corev1.PodResourceClaim, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	known, seen := map[string]bool{}, map[string]bool{}
	for _, c := range claims {
		known[c.Name] = true
	}
	for i, s := range statuses {
		at := at.Index(i)
		if !known[s.Name] {
			errs = append(errs, field.Invalid(at.Child("name"), s.Name, "must match the name of an entry in `spec.resourceClaims`"))
		}
		if seen[s.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), s.Name))
		}
		seen[s.Name] = true
		if n := s.ResourceClaimName; n != nil {
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*n, false), n, at.Child("resourceClaimName"))...)
		}
	}
	return errs
}

const nonNegativeInteger = "must be a non-negative integer"

// validateExtendedClaim: the claim that was made for extended resources says which
// of its requests serves which of them.
func validateExtendedClaim(s *corev1.PodExtendedResourceClaimStatus, spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	requests := map[string]corev1.ResourceList{}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			requests[list[i].Name] = list[i].Resources.Requests
		}
	}
	var errs field.ErrorList
	mappings := at.Child("requestMappings")
	if len(s.RequestMappings) == 0 {
		errs = append(errs, field.Required(mappings, "at least one request mapping is required"))
	}
	seen := map[corev1.ContainerExtendedResourceRequest]bool{}
	for i, m := range s.RequestMappings {
		here := mappings.Index(i)
		if asked, ok := requests[m.ContainerName]; !ok {
			errs = append(errs, field.Invalid(here.Child("containerName"), m.ContainerName, "must match the name of an entry in spec.initContainers.name or spec.containers.name"))
		} else if _, ok := asked[corev1.ResourceName(m.ResourceName)]; !ok {
			errs = append(errs, field.Invalid(here.Child("resourceName"), m.ResourceName, "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"))
		}
		// Upstream reports this one above the list.
		errs = append(errs, check.Label(m.RequestName, at.Child("requestName"))...)
		if seen[m] {
			errs = append(errs, field.Duplicate(here.Child("containerName"), m.ContainerName),
				field.Duplicate(here.Child("resourceName"), m.ResourceName), field.Duplicate(here.Child("requestName"), m.RequestName))
		}
		seen[m] = true
	}
	if s.ResourceClaimName == "" {
		return append(errs, field.Required(at.Child("resourceClaimName"), ""))
	}
	return append(errs, check.Subdomain(s.ResourceClaimName, at.Child("resourceClaimName"))...)
}

func podIPs(list []corev1.PodIP) []string {
	ips := make([]string, len(list))
	for i := range list {
		ips[i] = list[i].IP
	}
	return ips
}

func hostIPs(list []corev1.HostIP) []string {
	ips := make([]string, len(list))
	for i := range list {
		ips[i] = list[i].IP
	}
	return ips
}

// validateIPs: at most one address of each family. Those that are kept may be in a
// form that is no longer let in. all is the list as it is shown in errors.
func validateIPs[T any](ips, kept []string, all []T, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range ips {
		errs = append(errs, validation.IsValidIPForLegacyField(at.Index(i), ip, true, kept)...)
	}
	if len(ips) < 2 {
		return errs
	}
	dual, err := netutils.IsDualStackIPStrings(ips)
	if err != nil {
		errs = append(errs, field.InternalError(at, fmt.Errorf("failed to check for dual stack with error:%v", err)))
	}
	if !dual || len(ips) > 2 {
		errs = append(errs, field.Invalid(at, all, "may specify no more than one IP for each IP family"))
	}
	return errs
}

func validateStatusUsers(statuses []corev1.ContainerStatus, os *corev1.PodOS, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range statuses {
		u := statuses[i].User
		if u == nil || u.Linux == nil {
			continue
		}
		at := at.Index(i).Child("user", "linux")
		if os != nil && os.Name == corev1.Windows {
			errs = append(errs, field.Forbidden(at, "cannot be set for a windows pod"))
			continue
		}
		errs = append(errs, check.Messages(validation.IsValidUserID(u.Linux.UID), u.Linux.UID, at.Child("uid"))...)
		errs = append(errs, check.Messages(validation.IsValidGroupID(u.Linux.GID), u.Linux.GID, at.Child("gid"))...)
		for j, g := range u.Linux.SupplementalGroups {
			errs = append(errs, check.Messages(validation.IsValidGroupID(g), g, at.Child("supplementalGroups").Index(j))...)
		}
	}
	return errs
}
