package networking

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// NetworkPolicy is the row of network policies.
func NetworkPolicy() *resource.Definition {
	return resource.Row[*networkingv1.NetworkPolicy]{
		Storage:      networkingv1.SchemeGroupVersion,
		Kind:         "NetworkPolicy",
		Plural:       "networkpolicies",
		ShortNames:   []string{"netpol"},
		New:          func() *networkingv1.NetworkPolicy { return new(networkingv1.NetworkPolicy) },
		NewList:      func() runtime.Object { return new(networkingv1.NetworkPolicyList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultNetworkPolicy,
		Spec:         func(p *networkingv1.NetworkPolicy) any { return &p.Spec },
		Validate:     func(p *networkingv1.NetworkPolicy) field.ErrorList { return validatePolicy(&p.Spec, nil) },
		ValidateUpdate: func(p, old *networkingv1.NetworkPolicy) field.ErrorList {
			return validatePolicy(&p.Spec, &old.Spec)
		},
		Warnings: func(p, _ *networkingv1.NetworkPolicy) []string {
			var out []string
			eachBlock(&p.Spec, func(b *networkingv1.IPBlock, at *field.Path) {
				out = append(out, cidrWarnings(b, at)...)
			})
			return out
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Pod-Selector", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"]),
			columns.Age(),
		},
		Cells: func(p *networkingv1.NetworkPolicy, now time.Time) []any {
			return []any{p.Name, columns.Selector(&p.Spec.PodSelector), columns.Since(p.CreationTimestamp, now)}
		},
	}.Define()
}

func defaultNetworkPolicy(p *networkingv1.NetworkPolicy) {
	tcp := func(ports []networkingv1.NetworkPolicyPort) {
		for i := range ports {
			if ports[i].Protocol == nil {
				ports[i].Protocol = new(corev1.ProtocolTCP)
			}
		}
	}
	for i := range p.Spec.Ingress {
		tcp(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		tcp(p.Spec.Egress[i].Ports)
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}

// kept is what a stored policy may go on using.
type kept struct {
	cidrs     []string
	selectors metavalidation.LabelSelectorValidationOptions
}

// validatePolicy checks a spec; old is nil at creation.
func validatePolicy(s, old *networkingv1.NetworkPolicySpec) field.ErrorList {
	var keep kept
	if old != nil {
		eachBlock(old, func(b *networkingv1.IPBlock, _ *field.Path) {
			keep.cidrs = append(append(keep.cidrs, b.CIDR), b.Except...)
		})
		keep.selectors.AllowInvalidLabelValueInSelector = hasInvalidSelector(old)
	}
	at := field.NewPath("spec")
	errs := metavalidation.ValidateLabelSelector(&s.PodSelector, keep.selectors, at.Child("podSelector"))
	for i := range s.Ingress {
		at := at.Child("ingress").Index(i)
		errs = append(errs, validateTraffic(s.Ingress[i].Ports, s.Ingress[i].From, "from", keep, at)...)
	}
	for i := range s.Egress {
		at := at.Child("egress").Index(i)
		errs = append(errs, validateTraffic(s.Egress[i].Ports, s.Egress[i].To, "to", keep, at)...)
	}
	types := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if len(s.PolicyTypes) > len(types) {
		return append(errs, field.Invalid(at.Child("policyTypes"), &s.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range s.PolicyTypes {
		errs = append(errs, check.OneOf(t, types, at.Child("policyTypes").Index(i))...)
	}
	return errs
}

func validateTraffic(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, peersName string, keep kept, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		errs = append(errs, validatePolicyPort(&ports[i], at.Child("ports").Index(i))...)
	}
	for i := range peers {
		errs = append(errs, validatePeer(&peers[i], keep, at.Child(peersName).Index(i))...)
	}
	return errs
}

func validatePolicyPort(p *networkingv1.NetworkPolicyPort, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Protocol != nil {
		errs = append(errs, check.OneOf(*p.Protocol, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}, at.Child("protocol"))...)
	}
	end := at.Child("endPort")
	switch {
	case p.Port == nil:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified"))
		}
	case p.Port.Type == intstr.Int:
		errs = append(errs, check.Messages(validation.IsValidPortNum(int(p.Port.IntVal)), p.Port.IntVal, at.Child("port"))...)
		if p.EndPort != nil {
			if *p.EndPort < p.Port.IntVal {
				errs = append(errs, field.Invalid(end, p.Port.IntVal, "must be greater than or equal to `port`"))
			}
			errs = append(errs, check.Messages(validation.IsValidPortNum(int(*p.EndPort)), *p.EndPort, end)...)
		}
	default:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric"))
		}
		errs = append(errs, check.Messages(validation.IsValidPortName(p.Port.StrVal), p.Port.StrVal, at.Child("port"))...)
	}
	return errs
}

func validatePeer(p *networkingv1.NetworkPolicyPeer, keep kept, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.PodSelector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(p.PodSelector, keep.selectors, at.Child("podSelector"))...)
	}
	if p.NamespaceSelector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(p.NamespaceSelector, keep.selectors, at.Child("namespaceSelector"))...)
	}
	if p.IPBlock != nil {
		errs = append(errs, validateBlock(p.IPBlock, keep, at.Child("ipBlock"))...)
	}
	switch selects := p.PodSelector != nil || p.NamespaceSelector != nil; {
	case !selects && p.IPBlock == nil:
		errs = append(errs, field.Required(at, "must specify a peer"))
	case selects && p.IPBlock != nil:
		errs = append(errs, field.Forbidden(at, "may not specify both ipBlock and another peer"))
	}
	return errs
}

func validateBlock(b *networkingv1.IPBlock, keep kept, at *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(at.Child("cidr"), "")}
	}
	errs := validation.IsValidCIDRForLegacyField(at.Child("cidr"), b.CIDR, true, keep.cidrs)
	_, whole, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	for i, e := range b.Except {
		at := at.Child("except").Index(i)
		errs = append(errs, validation.IsValidCIDRForLegacyField(at, e, true, keep.cidrs)...)
		_, part, err := netutils.ParseCIDRSloppy(e)
		if err != nil {
			continue
		}
		wholeBits, _ := whole.Mask.Size()
		partBits, _ := part.Mask.Size()
		if !whole.Contains(part.IP) || wholeBits >= partBits {
			errs = append(errs, field.Invalid(at, e, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

// eachBlock visits the address blocks of a policy.
func eachBlock(s *networkingv1.NetworkPolicySpec, visit func(b *networkingv1.IPBlock, at *field.Path)) {
	peers := func(ps []networkingv1.NetworkPolicyPeer, at *field.Path) {
		for i := range ps {
			if b := ps[i].IPBlock; b != nil {
				visit(b, at.Index(i).Child("ipBlock"))
			}
		}
	}
	for i := range s.Ingress {
		peers(s.Ingress[i].From, field.NewPath("spec", "ingress").Index(i).Child("from"))
	}
	for i := range s.Egress {
		peers(s.Egress[i].To, field.NewPath("spec", "egress").Index(i).Child("to"))
	}
}

// cidrWarnings is asked about valid blocks, but a block may hold what only its
// old version made valid.
func cidrWarnings(b *networkingv1.IPBlock, at *field.Path) []string {
	var out []string
	warn := func(cidr string, at *field.Path) {
		if _, _, err := netutils.ParseCIDRSloppy(cidr); err == nil {
			out = append(out, validation.GetWarningsForCIDR(at, cidr)...)
		}
	}
	warn(b.CIDR, at.Child("cidr"))
	for i, e := range b.Except {
		warn(e, at.Child("except").Index(i))
	}
	return out
}

func hasInvalidSelector(s *networkingv1.NetworkPolicySpec) bool {
	bad := metavalidation.LabelSelectorHasInvalidLabelValue(&s.PodSelector)
	peers := func(ps []networkingv1.NetworkPolicyPeer) {
		for i := range ps {
			bad = bad || metavalidation.LabelSelectorHasInvalidLabelValue(ps[i].PodSelector) ||
				metavalidation.LabelSelectorHasInvalidLabelValue(ps[i].NamespaceSelector)
		}
	}
	for i := range s.Ingress {
		peers(s.Ingress[i].From)
	}
	for i := range s.Egress {
		peers(s.Egress[i].To)
	}
	return bad
}
