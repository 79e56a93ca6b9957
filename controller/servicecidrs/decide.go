package servicecidrs

import (
	"net/netip"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	finalizer = "networking.k8s.io/service-cidr-finalizer"
	// rest is how long a range that is to be deleted stays at least.
	rest = 10 * time.Second

	readyMessage       = "Kubernetes Service CIDR is ready"
	terminatingMessage = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)

// plan is what is to be done about a range.
type plan struct {
	// finalizers are those that it is to have, where that is a change.
	finalizers       []string
	changeFinalizers bool
	// condition is what it is to say, or nil.
	condition *metav1.Condition
	// again is when to look once more, or zero.
	again time.Duration
}

// decide says what is to be done about a range, beside all ranges (itself among
// them) and all addresses that API servers have given.
func decide(c *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, given []netip.Addr, now time.Time) plan {
	has := slices.Contains(c.Finalizers, finalizer)
	if c.DeletionTimestamp.IsZero() {
		p := plan{condition: condition(c, metav1.ConditionTrue, "", readyMessage, now)}
		if !has {
			p.finalizers, p.changeFinalizers = append(slices.Clone(c.Finalizers), finalizer), true
		}
		return p
	}
	if orphans(c, all, given) {
		return plan{condition: condition(c, metav1.ConditionFalse, networkingv1.ServiceCIDRReasonTerminating, terminatingMessage, now)}
	}
	if left := rest - now.Sub(c.DeletionTimestamp.Time); left > 0 {
		return plan{again: left}
	}
	if !has {
		return plan{}
	}
	return plan{finalizers: slices.DeleteFunc(slices.Clone(c.Finalizers), func(f string) bool { return f == finalizer }), changeFinalizers: true}
}

// condition is the Ready condition that c lacks, or nil.
func condition(c *networkingv1.ServiceCIDR, is metav1.ConditionStatus, reason, message string, now time.Time) *metav1.Condition {
	was := meta.FindStatusCondition(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady)
	if was != nil && was.Status == is && was.Reason == reason && was.Message == message {
		return nil
	}
	return &metav1.Condition{
		Type: networkingv1.ServiceCIDRConditionReady, Status: is, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now),
	}
}

// orphans reports whether an address would be in no range without c.
func orphans(c *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, given []netip.Addr) bool {
	var others []netip.Prefix
	for _, o := range all {
		if o.Name != c.Name {
			others = append(others, prefixes(o)...)
		}
	}
	for _, p := range prefixes(c) {
		if slices.ContainsFunc(others, func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Contains(p.Addr()) }) {
			continue
		}
		for _, a := range given {
			if contains(p, a) && !slices.ContainsFunc(others, func(o netip.Prefix) bool { return contains(o, a) }) {
				return true
			}
		}
	}
	return false
}

// prefixes are the ranges of c.
func prefixes(c *networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range c.Spec.CIDRs {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// contains reports whether a cluster IP may be of a range: the address of the
// network, and with IPv4 that of everybody, are nobody's.
func contains(p netip.Prefix, a netip.Addr) bool {
	if !p.Contains(a) || a == p.Addr() {
		return false
	}
	return a.Is6() || p.Contains(a.Next())
}

// overlapping names the ranges that share addresses with c, c among them.
func overlapping(c *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR) []string {
	var names []string
	mine := prefixes(c)
	for _, o := range all {
		if slices.ContainsFunc(prefixes(o), func(p netip.Prefix) bool {
			return slices.ContainsFunc(mine, p.Overlaps)
		}) {
			names = append(names, o.Name)
		}
	}
	return names
}
