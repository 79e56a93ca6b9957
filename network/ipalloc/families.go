package ipalloc

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/core"
)

var (
	specPath     = field.NewPath("spec")
	policyPath   = specPath.Child("ipFamilyPolicy")
	familiesPath = specPath.Child("ipFamilies")
	ipsPath      = specPath.Child("clusterIPs")
)

// decideFamilies completes the IP families of a service and their policy, for
// a cluster with the families given, the first being the default. Afterwards a
// service with cluster IPs has one family for each.
func decideFamilies(s, old *corev1.Service, cluster []corev1.IPFamily) field.ErrorList {
	sp := &s.Spec
	if sp.Type == corev1.ServiceTypeExternalName || unchangedPreference(s, old) {
		return nil
	}
	var kept []string
	if old != nil {
		kept = old.Spec.ClusterIPs
	}
	sp.IPFamilyPolicy = ptr.To(policyOf(s, old))
	if errs := core.ValidateClusterIPs(s, kept); len(errs) > 0 {
		return errs
	}
	var errs field.ErrorList
	if old != nil {
		errs = append(errs, shrink(sp, &old.Spec)...)
	}
	if *sp.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		if len(sp.ClusterIPs) == 2 {
			errs = append(errs, field.Invalid(policyPath, sp.IPFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"))
		}
		if len(sp.IPFamilies) == 2 {
			errs = append(errs, field.Invalid(policyPath, sp.IPFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"))
		}
	}
	// An address that is asked for brings its family.
	for i, ip := range sp.ClusterIPs {
		if ip == corev1.ClusterIPNone {
			break
		}
		if i < len(sp.IPFamilies) {
			continue
		}
		if f := core.FamilyOf(ip); slices.Contains(cluster, f) {
			sp.IPFamilies = append(slices.Clip(sp.IPFamilies), f)
		} else {
			errs = append(errs, field.Invalid(ipsPath.Index(i), sp.ClusterIPs, fmt.Sprintf("%s is not configured on this cluster", f)))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if headless(s) && len(sp.Selector) == 0 {
		// Endpoints made by hand may be of any family, whatever the cluster has.
		complete(sp, cluster, true)
		return nil
	}
	if *sp.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack && len(cluster) < 2 {
		errs = append(errs, field.Invalid(policyPath, sp.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	for i, f := range sp.IPFamilies {
		if !slices.Contains(cluster, f) {
			errs = append(errs, field.Invalid(familiesPath.Index(i), f, "not configured on this cluster"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	complete(sp, cluster, len(cluster) == 2)
	return nil
}

// complete adds the families that a service lacks: the cluster's default, and
// the other one where the policy wants two and two may be had.
func complete(sp *corev1.ServiceSpec, cluster []corev1.IPFamily, two bool) {
	if len(sp.IPFamilies) == 0 {
		sp.IPFamilies = []corev1.IPFamily{cluster[0]}
	}
	if two && len(sp.IPFamilies) == 1 && *sp.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		other := corev1.IPv4Protocol
		if sp.IPFamilies[0] == corev1.IPv4Protocol {
			other = corev1.IPv6Protocol
		}
		sp.IPFamilies = append(slices.Clip(sp.IPFamilies), other)
	}
}

// policyOf is the policy of a service. One that says none keeps that which it
// had, so that nothing but a word of its own makes it gain or lose a family.
func policyOf(s, old *corev1.Service) corev1.IPFamilyPolicy {
	switch {
	case s.Spec.IPFamilyPolicy != nil:
		return *s.Spec.IPFamilyPolicy
	case old != nil && old.Spec.IPFamilyPolicy != nil:
		return *old.Spec.IPFamilyPolicy
	case headless(s) && len(s.Spec.Selector) == 0:
		return corev1.IPFamilyPolicyRequireDualStack
	}
	return corev1.IPFamilyPolicySingleStack
}

// shrink takes the second family away where a client says so: by the policy,
// leaving the rest as it was.
func shrink(sp, was *corev1.ServiceSpec) field.ErrorList {
	sameIPs, sameFamilies := slices.Equal(sp.ClusterIPs, was.ClusterIPs), slices.Equal(sp.IPFamilies, was.IPFamilies)
	if *sp.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		if sameIPs && len(sp.ClusterIPs) > 1 {
			sp.ClusterIPs = sp.ClusterIPs[:1:1]
		}
		if sameFamilies && len(sp.IPFamilies) > 1 {
			sp.IPFamilies = sp.IPFamilies[:1:1]
		}
		return nil
	}
	var errs field.ErrorList
	if len(sp.ClusterIPs) == 1 && len(was.ClusterIPs) == 2 && sp.ClusterIPs[0] == was.ClusterIPs[0] {
		errs = append(errs, field.Invalid(policyPath, sp.IPFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"))
	}
	if len(sp.IPFamilies) == 1 && len(was.IPFamilies) == 2 && sp.IPFamilies[0] == was.IPFamilies[0] {
		errs = append(errs, field.Invalid(policyPath, sp.IPFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"))
	}
	return errs
}

// unchangedPreference: a service that prefers two families keeps what it once
// got, also where the cluster has changed since, until somebody asks for more.
func unchangedPreference(s, old *corev1.Service) bool {
	if old == nil || old.Spec.Type == corev1.ServiceTypeExternalName {
		return false
	}
	a, b := &s.Spec, &old.Spec
	prefers := func(sp *corev1.ServiceSpec) bool {
		return sp.IPFamilyPolicy != nil && *sp.IPFamilyPolicy == corev1.IPFamilyPolicyPreferDualStack
	}
	return prefers(a) && prefers(b) && a.ClusterIP == b.ClusterIP &&
		slices.Equal(a.ClusterIPs, b.ClusterIPs) && slices.Equal(a.IPFamilies, b.IPFamilies)
}

func headless(s *corev1.Service) bool {
	return len(s.Spec.ClusterIPs) > 0 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}
