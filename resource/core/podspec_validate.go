package core

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// ValidatePodTemplateSpec checks the pod template of a workload: its labels,
// annotations and spec.
func ValidatePodTemplateSpec(t *corev1.PodTemplateSpec, at *field.Path, opts PodSpecOptions) field.ErrorList {
	opts.inPod = false
	errs := metavalidation.ValidateLabels(t.Labels, at.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, at.Child("annotations"))...)
	errs = append(errs, validatePodAnnotations(t.Annotations, &t.Spec, opts, at.Child("annotations"))...)
	errs = append(errs, ValidatePodSpec(&t.Spec, nil, at.Child("spec"), opts)...)
	errs = append(errs, validateSeccompAgreement(t.Annotations, &t.Spec, at.Child("spec"))...)
	errs = append(errs, validateAppArmorAgreement(t.Annotations, &t.Spec, at.Child("spec"))...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(at.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// ValidatePodSpec checks a pod spec after defaulting. The metadata is that of
// the pod, or nil for a spec that is in no pod.
func ValidatePodSpec(s *corev1.PodSpec, meta *metav1.ObjectMeta, at *field.Path, opts PodSpecOptions) field.ErrorList {
	var errs field.ErrorList
	if s.TerminationGracePeriodSeconds == nil {
		errs = append(errs, field.Required(at.Child("terminationGracePeriodSeconds"), ""))
	}
	p := &podContext{
		opts:        opts,
		claims:      map[string]bool{},
		gracePeriod: s.TerminationGracePeriodSeconds,
		restart:     s.RestartPolicy,
		hostUsers:   s.HostUsers == nil || *s.HostUsers,
	}
	volumes, bad := validateVolumes(s.Volumes, meta, opts, at.Child("volumes"))
	p.volumes, p.named = volumes, map[string]*corev1.VolumeSource{}
	for i := range s.Volumes {
		p.named[s.Volumes[i].Name] = &s.Volumes[i].VolumeSource
	}
	errs = append(errs, bad...)
	for _, c := range s.ResourceClaims {
		if c.Name != "" {
			p.claims[c.Name] = true
		}
	}
	errs = append(errs, validatePodResourceClaims(s.ResourceClaims, at.Child("resourceClaims"))...)
	errs = append(errs, p.containers(s.Containers, at.Child("containers"))...)
	errs = append(errs, p.initContainers(s.InitContainers, s.Containers, at.Child("initContainers"))...)
	errs = append(errs, p.ephemeralContainers(s.EphemeralContainers, s, at.Child("ephemeralContainers"))...)
	errs = append(errs, p.podResources(s, at.Child("resources"))...)
	errs = append(errs, validateHostNetwork(s, opts, at)...)
	errs = append(errs, requiredOneOf(s.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}, at.Child("restartPolicy"))...)
	errs = append(errs, requiredOneOf(s.DNSPolicy, dnsPolicies, at.Child("dnsPolicy"))...)
	errs = append(errs, metavalidation.ValidateLabels(s.NodeSelector, at.Child("nodeSelector"))...)
	errs = append(errs, validatePodSecurityContext(s, opts, at.Child("securityContext"))...)
	errs = append(errs, validateAffinity(s.Affinity, opts, at.Child("affinity"))...)
	errs = append(errs, validateDNSConfig(s.DNSConfig, s.DNSPolicy, at.Child("dnsConfig"))...)
	for i, g := range s.ReadinessGates {
		errs = append(errs, check.QualifiedName(string(g.ConditionType), at.Child("readinessGates").Index(i).Child("conditionType"))...)
	}
	errs = append(errs, validateSchedulingGates(s.SchedulingGates, at.Child("schedulingGates"))...)
	errs = append(errs, validateTopologySpread(s.TopologySpreadConstraints, opts, at.Child("topologySpreadConstraints"))...)
	errs = append(errs, validateHostProcess(s, at)...)
	errs = append(errs, validateHostUsers(s, at)...)
	return append(errs, validatePodNames(s, at)...)
}

var dnsPolicies = []corev1.DNSPolicy{corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone}

// maxHostname is what the Linux kernel takes as a name.
const maxHostname = 64

// validatePodNames is the second half of the rules: names, and what is small.
func validatePodNames(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	name := func(rule func(string, bool) []string, value, child string) {
		if value != "" {
			errs = append(errs, check.Messages(rule(value, false), value, at.Child(child))...)
		}
	}
	name(apivalidation.ValidateServiceAccountName, s.ServiceAccountName, "serviceAccountName")
	name(apivalidation.NameIsDNSSubdomain, s.NodeName, "nodeName")
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		errs = append(errs, field.Invalid(at.Child("activeDeadlineSeconds"), *d, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	if s.Hostname != "" {
		errs = append(errs, check.Label(s.Hostname, at.Child("hostname"))...)
	}
	if s.Subdomain != "" {
		errs = append(errs, check.Label(s.Subdomain, at.Child("subdomain"))...)
	}
	errs = append(errs, check.Tolerations(s.Tolerations, at.Child("tolerations"))...)
	for i, h := range s.HostAliases {
		at := at.Child("hostAliases").Index(i)
		errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), h.IP, true, nil)...)
		for j, n := range h.Hostnames {
			errs = append(errs, check.Subdomain(n, at.Child("hostnames").Index(j))...)
		}
	}
	name(apivalidation.NameIsDNSSubdomain, s.PriorityClassName, "priorityClassName")
	if r := s.RuntimeClassName; r != nil {
		errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*r, false), *r, at.Child("runtimeClassName"))...)
	}
	if p := s.PreemptionPolicy; p != nil {
		errs = append(errs, requiredOneOf(*p, []corev1.PreemptionPolicy{corev1.PreemptLowerPriority, corev1.PreemptNever}, at.Child("preemptionPolicy"))...)
	}
	if s.Overhead != nil {
		overhead := corev1.ResourceRequirements{Limits: s.Overhead}
		errs = append(errs, check.Requirements(&overhead, check.ContainerResourceName, false, at.Child("overhead"))...)
	}
	errs = append(errs, validateOS(s, at)...)
	return append(errs, validateHostnameOverride(s, at)...)
}

func validateHostnameOverride(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	h := s.HostnameOverride
	if h == nil {
		return nil
	}
	here := at.Child("hostnameOverride")
	errs := check.Subdomain(*h, here)
	if len(*h) > maxHostname {
		errs = append(errs, field.TooLong(here, *h, maxHostname))
	}
	if s.SetHostnameAsFQDN != nil && *s.SetHostnameAsFQDN {
		errs = append(errs, field.Forbidden(here, "may not be specified when setHostnameAsFQDN is true"))
	}
	if s.HostNetwork {
		errs = append(errs, field.Forbidden(here, "may not be specified when hostNetwork is true"))
	}
	return errs
}

// validateHostNetwork: in the host's network a port of a container is that
// port of the host. Templates may leave it out, as pods get it by default.
func validateHostNetwork(s *corev1.PodSpec, opts PodSpecOptions, at *field.Path) field.ErrorList {
	if !s.HostNetwork {
		return nil
	}
	var errs field.ErrorList
	for i := range s.Containers {
		for j, p := range s.Containers[i].Ports {
			if (opts.inPod || p.HostPort != 0) && p.HostPort != p.ContainerPort {
				errs = append(errs, field.Invalid(at.Child("containers").Index(i).Child("ports").Index(j).Child("hostPort"), p.HostPort,
					"must match `containerPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

func validateHostUsers(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	if s.HostUsers == nil || *s.HostUsers {
		return nil
	}
	var errs field.ErrorList
	const why = "when `hostUsers` is false"
	if s.HostNetwork {
		errs = append(errs, field.Forbidden(at.Child("hostNetwork"), why))
	}
	// Upstream writes these two so.
	if s.HostPID {
		errs = append(errs, field.Forbidden(at.Child("HostPID"), why))
	}
	if s.HostIPC {
		errs = append(errs, field.Forbidden(at.Child("HostIPC"), why))
	}
	for i := range s.Containers {
		if len(s.Containers[i].VolumeDevices) > 0 {
			errs = append(errs, field.Forbidden(at.Child("containers").Index(i).Child("volumeDevices"), why))
		}
	}
	for i := range s.InitContainers {
		if len(s.InitContainers[i].VolumeDevices) > 0 {
			errs = append(errs, field.Forbidden(at.Child("initContainers").Index(i).Child("volumeDevices"), why))
		}
	}
	return errs
}

// What a resolver takes.
const (
	maxNameservers     = 3
	maxSearchPaths     = 32
	maxSearchListChars = 2048
)

func validateDNSConfig(c *corev1.PodDNSConfig, policy corev1.DNSPolicy, at *field.Path) field.ErrorList {
	if policy == corev1.DNSNone {
		if c == nil {
			return field.ErrorList{field.Required(at, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))}
		}
		if len(c.Nameservers) == 0 {
			return field.ErrorList{field.Required(at.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone))}
		}
	}
	if c == nil {
		return nil
	}
	var errs field.ErrorList
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(at.Child("nameservers"), c.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, ns := range c.Nameservers {
		errs = append(errs, validation.IsValidIPForLegacyField(at.Child("nameservers").Index(i), ns, true, nil)...)
	}
	searches := at.Child("searches")
	if len(c.Searches) > maxSearchPaths {
		errs = append(errs, field.Invalid(searches, c.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearchPaths)))
	}
	if len(strings.Join(c.Searches, " ")) > maxSearchListChars {
		errs = append(errs, field.Invalid(searches, c.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchListChars)))
	}
	for i, s := range c.Searches {
		if s == "." {
			continue
		}
		s = strings.TrimSuffix(s, ".")
		errs = append(errs, check.Messages(validation.IsDNS1123SubdomainWithUnderscore(s), s, searches.Index(i))...)
	}
	for i, o := range c.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(at.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

func validateSchedulingGates(gates []corev1.PodSchedulingGate, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, g := range gates {
		errs = append(errs, check.QualifiedName(g.Name, at.Index(i))...)
		if seen[g.Name] {
			errs = append(errs, field.Duplicate(at.Index(i), g.Name))
		}
		seen[g.Name] = true
	}
	return errs
}

func validatePodResourceClaims(claims []corev1.PodResourceClaim, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, c := range claims {
		at := at.Index(i)
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case seen[c.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		default:
			errs = append(errs, check.Label(c.Name, at.Child("name"))...)
			seen[c.Name] = true
		}
		if c.ResourceClaimName != nil && c.ResourceClaimTemplateName != nil {
			errs = append(errs, field.Invalid(at, c, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		}
		if c.ResourceClaimName == nil && c.ResourceClaimTemplateName == nil {
			errs = append(errs, field.Invalid(at, c, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
		if n := c.ResourceClaimName; n != nil {
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*n, false), *n, at.Child("resourceClaimName"))...)
		}
		if n := c.ResourceClaimTemplateName; n != nil {
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*n, false), *n, at.Child("resourceClaimTemplateName"))...)
		}
	}
	return errs
}
