package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource/check"
)

var (
	serviceTypes = []corev1.ServiceType{
		corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort,
	}
	serviceAffinities    = []corev1.ServiceAffinity{corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone}
	trafficDistributions = []string{ // in upstream's order, which is none
		corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode,
	}
)

const onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'"

// validateService is given what is stored too, or nil: an address or prefix in
// a form that is no longer let in may stay.
func validateService(s, old *corev1.Service) field.ErrorList {
	var kept corev1.ServiceSpec
	if old != nil {
		kept = old.Spec
	}
	sp, at := &s.Spec, specPath
	var errs field.ErrorList
	if hints, ok := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; ok {
		if mode, ok := s.Annotations[corev1.AnnotationTopologyMode]; ok && mode != hints {
			errs = append(errs, field.Invalid(metaPath.Child("annotations").Key(corev1.AnnotationTopologyMode), mode,
				fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints)))
		}
	}
	if len(sp.Ports) == 0 && !isHeadless(s) && sp.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(at.Child("ports"), ""))
	}
	switch sp.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if isHeadless(s) {
			errs = append(errs, field.Invalid(at.Child("clusterIPs").Index(0), sp.ClusterIPs[0], fmt.Sprintf("may not be set to 'None' for %s services", sp.Type)))
		}
	case corev1.ServiceTypeExternalName:
		errs = append(errs, validateExternalName(sp, at)...)
	}
	names := map[string]bool{}
	for i := range sp.Ports {
		errs = append(errs, validateServicePort(&sp.Ports[i], len(sp.Ports) > 1, names, at.Child("ports").Index(i))...)
	}
	errs = append(errs, metavalidation.ValidateLabels(sp.Selector, at.Child("selector"))...)
	errs = append(errs, validateSessionAffinity(sp, at)...)
	errs = append(errs, ValidateClusterIPs(s, kept.ClusterIPs)...)
	for i, ip := range sp.ExternalIPs {
		at := at.Child("externalIPs").Index(i)
		if bad := validation.IsValidIPForLegacyField(at, ip, true, kept.ExternalIPs); len(bad) != 0 {
			errs = append(errs, bad...)
		} else {
			errs = append(errs, check.PlainIP(ip, at)...)
		}
	}
	errs = append(errs, requiredOneOf(sp.Type, serviceTypes, at.Child("type"))...)
	errs = append(errs, validateServicePorts(sp, at.Child("ports"))...)
	errs = append(errs, validateSourceRanges(s, old)...)
	if sp.AllocateLoadBalancerNodePorts != nil && sp.Type != corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Forbidden(at.Child("allocateLoadBalancerNodePorts"), onlyLoadBalancer))
	}
	if sp.AllocateLoadBalancerNodePorts == nil && sp.Type == corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Required(field.NewPath("allocateLoadBalancerNodePorts"), ""))
	}
	errs = append(errs, validateLoadBalancerClass(sp, at)...)
	return append(errs, validateTrafficPolicies(s, at)...)
}

func validateExternalName(sp *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	const why = "may not be set for ExternalName services"
	if len(sp.ClusterIPs) > 0 {
		errs = append(errs, field.Forbidden(at.Child("clusterIPs"), why))
	}
	if len(sp.IPFamilies) > 0 {
		errs = append(errs, field.Forbidden(at.Child("ipFamilies"), why))
	}
	if sp.IPFamilyPolicy != nil {
		errs = append(errs, field.Forbidden(at.Child("ipFamilyPolicy"), why))
	}
	// A dot at the end says that the name is complete.
	if name := strings.TrimSuffix(sp.ExternalName, "."); name != "" {
		return append(errs, check.Subdomain(name, at.Child("externalName"))...)
	}
	return append(errs, field.Required(at.Child("externalName"), ""))
}

func validateServicePort(p *corev1.ServicePort, named bool, names map[string]bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Name != "" {
		errs = append(errs, check.Label(p.Name, at.Child("name"))...)
		if names[p.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		}
		names[p.Name] = true
	} else if named {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	errs = append(errs, check.Messages(validation.IsValidPortNum(int(p.Port)), p.Port, at.Child("port"))...)
	errs = append(errs, requiredOneOf(p.Protocol, protocols, at.Child("protocol"))...)
	errs = append(errs, check.PortNumberOrName(p.TargetPort, at.Child("targetPort"))...)
	if p.AppProtocol != nil {
		errs = append(errs, check.QualifiedName(*p.AppProtocol, at.Child("appProtocol"))...)
	}
	return errs
}

// validateServicePorts compares the ports with each other.
func validateServicePorts(sp *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if sp.Type == corev1.ServiceTypeClusterIP {
		for i, p := range sp.Ports {
			if p.NodePort != 0 {
				errs = append(errs, field.Forbidden(at.Index(i).Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
			}
		}
	}
	type key struct {
		protocol corev1.Protocol
		port     int32
	}
	seen := map[key]bool{}
	for i, p := range sp.Ports {
		if k := (key{p.Protocol, p.NodePort}); p.NodePort != 0 {
			if seen[k] {
				errs = append(errs, field.Duplicate(at.Index(i).Child("nodePort"), p.NodePort))
			}
			seen[k] = true
		}
	}
	clear(seen)
	for i, p := range sp.Ports {
		k := key{p.Protocol, p.Port}
		if seen[k] {
			errs = append(errs, field.Duplicate(at.Index(i), corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}))
		}
		seen[k] = true
	}
	return errs
}

func validateSessionAffinity(sp *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	errs := requiredOneOf(sp.SessionAffinity, serviceAffinities, at.Child("sessionAffinity"))
	at = at.Child("sessionAffinityConfig")
	c := sp.SessionAffinityConfig
	if sp.SessionAffinity == corev1.ServiceAffinityNone && c != nil {
		errs = append(errs, field.Forbidden(at, fmt.Sprintf("must not be set when session affinity is %s", corev1.ServiceAffinityNone)))
	}
	if sp.SessionAffinity != corev1.ServiceAffinityClientIP {
		return errs
	}
	needed := fmt.Sprintf("when session affinity type is %s", corev1.ServiceAffinityClientIP)
	switch {
	case c == nil:
		errs = append(errs, field.Required(at, needed))
	case c.ClientIP == nil:
		errs = append(errs, field.Required(at.Child("clientIP"), needed))
	case c.ClientIP.TimeoutSeconds == nil:
		errs = append(errs, field.Required(at.Child("clientIP", "timeoutSeconds"), needed))
	default:
		const longest = 86400 // a day
		if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > longest {
			errs = append(errs, field.Invalid(at.Child("clientIP", "timeoutSeconds"), c.ClientIP.TimeoutSeconds, fmt.Sprintf("must be greater than 0 and less than %d", longest)))
		}
	}
	return errs
}

// ValidateClusterIPs checks the addresses and IP families of a service. It is
// for allocators too, which must not work on what is wrong. Addresses that are
// kept may be in a form that is no longer let in.
func ValidateClusterIPs(s *corev1.Service, kept []string) field.ErrorList {
	sp := &s.Spec
	if sp.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var errs field.ErrorList
	ips, families := specPath.Child("clusterIPs"), specPath.Child("ipFamilies")
	switch {
	case sp.ClusterIP == "" && len(sp.ClusterIPs) != 0:
		errs = append(errs, field.Invalid(ips, sp.ClusterIPs, "must be empty when `clusterIP` is not specified"))
	case sp.ClusterIP != "" && len(sp.ClusterIPs) == 0:
		errs = append(errs, field.Required(ips, ""))
	case sp.ClusterIP != "" && sp.ClusterIPs[0] != sp.ClusterIP:
		errs = append(errs, field.Invalid(ips, sp.ClusterIPs, "first value must match `clusterIP`"))
	}
	seen := map[corev1.IPFamily]bool{}
	for i, f := range sp.IPFamilies {
		errs = append(errs, check.OneOf(f, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}, families.Index(i))...)
		if seen[f] {
			errs = append(errs, field.Duplicate(families.Index(i), f))
		}
		seen[f] = true
	}
	if p := sp.IPFamilyPolicy; p != nil {
		errs = append(errs, check.OneOf(*p, []corev1.IPFamilyPolicy{corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack}, specPath.Child("ipFamilyPolicy"))...)
	}
	good := true
	for i, ip := range sp.ClusterIPs {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(sp.ClusterIPs) > 1 {
				good = false
				errs = append(errs, field.Invalid(ips, sp.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		bad := validation.IsValidIPForLegacyField(ips.Index(i), ip, true, kept)
		good = good && len(bad) == 0
		errs = append(errs, bad...)
	}
	if len(sp.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(ips, sp.ClusterIPs, "may only hold up to 2 values"))
	}
	if !good {
		return errs
	}
	if len(sp.ClusterIPs) > 1 {
		if dual, err := netutils.IsDualStackIPStrings(sp.ClusterIPs); err != nil {
			errs = append(errs, field.InternalError(ips, fmt.Errorf("failed to check for dual stack with error:%v", err)))
		} else if !dual {
			errs = append(errs, field.Invalid(ips, sp.ClusterIPs, "may specify no more than one IP for each IP family"))
		}
	}
	if isHeadless(s) {
		return errs
	}
	for i := range min(len(sp.ClusterIPs), len(sp.IPFamilies)) {
		if f := sp.IPFamilies[i]; f != FamilyOf(sp.ClusterIPs[i]) && (f == corev1.IPv4Protocol || f == corev1.IPv6Protocol) {
			errs = append(errs, field.Invalid(ips.Index(i), sp.ClusterIPs[i], fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%v]`", f, i)))
		}
	}
	return errs
}

// FamilyOf is the IP family of an address.
func FamilyOf(ip string) corev1.IPFamily {
	if netutils.IsIPv6String(ip) {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

func validateSourceRanges(s, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	var kept []string
	if old != nil {
		for _, r := range old.Spec.LoadBalancerSourceRanges {
			kept = append(kept, strings.TrimSpace(r))
		}
	}
	if ranges := s.Spec.LoadBalancerSourceRanges; len(ranges) > 0 {
		at := specPath.Child("LoadBalancerSourceRanges")
		if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
			errs = append(errs, field.Forbidden(at, onlyLoadBalancer))
		}
		for i, r := range ranges {
			// Blanks have been let through since these were an annotation.
			errs = append(errs, validation.IsValidCIDRForLegacyField(at.Index(i), strings.TrimSpace(r), true, kept)...)
		}
		return errs
	}
	value, ok := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	if !ok {
		return nil
	}
	at := metaPath.Child("annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Forbidden(at, onlyLoadBalancer))
	}
	if old != nil {
		if was, ok := old.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]; ok && was == value {
			return errs
		}
	}
	if value = strings.TrimSpace(value); value != "" {
		for r := range strings.SplitSeq(value, ",") {
			errs = append(errs, validation.IsValidCIDRForLegacyField(at, strings.TrimSpace(r), true, nil)...)
		}
	}
	return errs
}

func validateLoadBalancerClass(sp *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	at = at.Child("loadBalancerClass")
	switch {
	case sp.LoadBalancerClass == nil:
		return nil
	case sp.Type != corev1.ServiceTypeLoadBalancer:
		return field.ErrorList{field.Forbidden(at, onlyLoadBalancer)}
	}
	return check.QualifiedName(*sp.LoadBalancerClass, at)
}

func validateTrafficPolicies(s *corev1.Service, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	sp := &s.Spec
	external := at.Child("externalTrafficPolicy")
	if externallyAccessible(s) {
		errs = append(errs, requiredOneOf(sp.ExternalTrafficPolicy, []corev1.ServiceExternalTrafficPolicy{corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal}, external)...)
	} else if sp.ExternalTrafficPolicy != "" {
		errs = append(errs, field.Invalid(external, sp.ExternalTrafficPolicy, "may only be set for externally-accessible services"))
	}
	health := at.Child("healthCheckNodePort")
	switch {
	case !needsHealthPort(s):
		if sp.HealthCheckNodePort != 0 {
			errs = append(errs, field.Invalid(health, sp.HealthCheckNodePort, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
		}
	case sp.HealthCheckNodePort == 0:
		errs = append(errs, field.Required(health, ""))
	default:
		errs = append(errs, check.Messages(validation.IsValidPortNum(int(sp.HealthCheckNodePort)), sp.HealthCheckNodePort, health)...)
	}
	internal := at.Child("internalTrafficPolicy")
	if sp.InternalTrafficPolicy != nil {
		errs = append(errs, check.OneOf(*sp.InternalTrafficPolicy, []corev1.ServiceInternalTrafficPolicy{corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal}, internal)...)
	} else if needsClusterIP(s) {
		errs = append(errs, field.Required(internal, ""))
	}
	if d := sp.TrafficDistribution; d != nil {
		errs = append(errs, check.OneOf(*d, trafficDistributions, at.Child("trafficDistribution"))...)
	}
	return errs
}

func validateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	errs := validateClusterIPsUpdate(s, old)
	errs = append(errs, validateFamiliesUpdate(s, old)...)
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && old.Spec.Type == corev1.ServiceTypeLoadBalancer && !equalPointers(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass) {
		errs = append(errs, field.Invalid(specPath.Child("loadBalancerClass"), s.Spec.LoadBalancerClass, "may not change once set"))
	}
	if needsHealthPort(s) && needsHealthPort(old) && s.Spec.HealthCheckNodePort != old.Spec.HealthCheckNodePort {
		errs = append(errs, field.Forbidden(specPath.Child("healthCheckNodePort"), "field is immutable"))
	}
	return append(errs, validateService(s, old)...)
}

const (
	onceSet   = "may not change once set"
	secondary = "must be set to 'SingleStack' when releasing the secondary %s"
)

func singleStack(sp *corev1.ServiceSpec) bool {
	return sp.IPFamilyPolicy != nil && *sp.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
}

// validateClusterIPsUpdate: the first address stays, a second may come and go.
func validateClusterIPsUpdate(s, old *corev1.Service) field.ErrorList {
	if s.Spec.Type == corev1.ServiceTypeExternalName || old.Spec.Type == corev1.ServiceTypeExternalName || isHeadless(s) && isHeadless(old) {
		return nil
	}
	var errs field.ErrorList
	now, was, at := s.Spec.ClusterIPs, old.Spec.ClusterIPs, specPath.Child("clusterIPs")
	if len(now) == len(was) {
		for i := range was {
			if now[i] != was[i] {
				errs = append(errs, field.Invalid(at.Index(i), now, onceSet))
			}
		}
		return errs
	}
	if len(now) == 0 {
		errs = append(errs, field.Invalid(at.Index(0), now, "primary clusterIP can not be unset"))
	}
	if len(was) > 0 && len(now) > 0 && now[0] != was[0] {
		errs = append(errs, field.Invalid(at.Index(0), now, onceSet))
	}
	if len(was) > len(now) && len(now) == 1 && !singleStack(&s.Spec) {
		errs = append(errs, field.Invalid(specPath.Child("ipFamilyPolicy"), s.Spec.IPFamilyPolicy, fmt.Sprintf(secondary, "clusterIP")))
	}
	return errs
}

func validateFamiliesUpdate(s, old *corev1.Service) field.ErrorList {
	if s.Spec.Type == corev1.ServiceTypeExternalName || old.Spec.Type == corev1.ServiceTypeExternalName || isHeadless(s) || isHeadless(old) {
		return nil
	}
	var errs field.ErrorList
	now, was, at := s.Spec.IPFamilies, old.Spec.IPFamilies, specPath.Child("ipFamilies").Index(0)
	if len(now) == len(was) {
		for i := range was {
			if now[i] != was[i] {
				errs = append(errs, field.Invalid(at, now, onceSet))
			}
		}
		return errs
	}
	if len(was) > len(now) && len(s.Spec.ClusterIPs) == 0 {
		errs = append(errs, field.Invalid(at, now, "primary ipFamily can not be unset"))
	}
	if len(was) > 0 && len(now) > 0 && now[0] != was[0] {
		errs = append(errs, field.Invalid(at, s.Spec.ClusterIPs, onceSet))
	}
	if len(was) > len(now) && len(now) == 1 && !singleStack(&s.Spec) {
		errs = append(errs, field.Invalid(specPath.Child("ipFamilyPolicy"), s.Spec.IPFamilyPolicy, fmt.Sprintf(secondary, "ipFamily")))
	}
	return errs
}

func validateServiceStatus(s, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	var kept []string
	for _, i := range old.Status.LoadBalancer.Ingress {
		kept = append(kept, i.IP)
	}
	at := field.NewPath("status", "loadBalancer", "ingress")
	in := s.Status.LoadBalancer.Ingress
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && len(in) != 0 {
		return field.ErrorList{field.Forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")}
	}
	for i := range in {
		at := at.Index(i)
		if in[i].IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), in[i].IP, true, kept)...)
		}
		mode := at.Child("ipMode")
		switch {
		case in[i].IP != "" && in[i].IPMode == nil:
			errs = append(errs, field.Required(mode, "must be specified when `ip` is set"))
		case in[i].IP == "" && in[i].IPMode != nil:
			errs = append(errs, field.Forbidden(mode, "may not be specified when `ip` is not set"))
		case in[i].IPMode != nil:
			errs = append(errs, check.OneOf(*in[i].IPMode, []corev1.LoadBalancerIPMode{corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP}, mode)...)
		}
		if h := in[i].Hostname; h != "" {
			errs = append(errs, check.Subdomain(h, at.Child("hostname"))...)
			if netutils.ParseIPSloppy(h) != nil {
				errs = append(errs, field.Invalid(at.Child("hostname"), h, "must be a DNS name, not an IP address"))
			}
		}
	}
	return errs
}

func serviceWarnings(s, _ *corev1.Service) []string {
	var w []string
	if _, ok := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; ok {
		w = append(w, fmt.Sprintf("annotation %s is deprecated, please use %s instead", corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode))
	}
	sp := &s.Spec
	if needsClusterIP(s) && !isHeadless(s) {
		for i, ip := range sp.ClusterIPs {
			w = append(w, validation.GetWarningsForIP(specPath.Child("clusterIPs").Index(i), ip)...)
		}
	}
	for i, ip := range sp.ExternalIPs {
		w = append(w, validation.GetWarningsForIP(specPath.Child("externalIPs").Index(i), ip)...)
	}
	if sp.LoadBalancerIP != "" {
		w = append(w, validation.GetWarningsForIP(specPath.Child("loadBalancerIP"), sp.LoadBalancerIP)...)
	}
	for i, r := range sp.LoadBalancerSourceRanges {
		w = append(w, validation.GetWarningsForCIDR(specPath.Child("loadBalancerSourceRanges").Index(i), r)...)
	}
	if sp.Type == corev1.ServiceTypeExternalName && len(sp.ExternalIPs) > 0 {
		w = append(w, fmt.Sprintf("spec.externalIPs is ignored when spec.type is %q", corev1.ServiceTypeExternalName))
	}
	if sp.Type != corev1.ServiceTypeExternalName && sp.ExternalName != "" {
		w = append(w, fmt.Sprintf("spec.externalName is ignored when spec.type is not %q", corev1.ServiceTypeExternalName))
	}
	if isHeadless(s) {
		for _, f := range []struct {
			set  bool
			name string
		}{
			{sp.LoadBalancerIP != "", "spec.loadBalancerIP"},
			{len(sp.ExternalIPs) > 0, "spec.externalIPs"},
			{sp.SessionAffinity != corev1.ServiceAffinityNone && sp.SessionAffinity != "", "spec.SessionAffinity"},
		} {
			if f.set {
				w = append(w, f.name+" is ignored for headless services")
			}
		}
	}
	return w
}
