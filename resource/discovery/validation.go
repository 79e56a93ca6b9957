package discovery

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource/check"
)

// Limits of a slice. Whoever writes slices splits long before.
const (
	maxEndpoints      = 1000
	maxPorts          = 20000
	maxAddresses      = 100
	maxTopologyLabels = 16
	maxZoneHints      = 8
	maxNodeHints      = 8
)

// validateEndpointSlice checks a slice. Endpoints that are those of old (nil at
// creation) are accepted as earlier releases accepted them.
func validateEndpointSlice(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateAddressType(s.AddressType, field.NewPath("addressType"))
	errs = append(errs, validatePorts(s.Ports, field.NewPath("ports"))...)
	endpoints := validateEndpoints(s.Endpoints, s.AddressType, field.NewPath("endpoints"))
	if len(endpoints) > 0 && old != nil && check.Equal(s.Endpoints, old.Endpoints) {
		return errs
	}
	return append(errs, endpoints...)
}

func validateEndpointSliceUpdate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateEndpointSlice(s, old)
	return append(errs, check.Unchanged(s.AddressType, old.AddressType, field.NewPath("addressType"))...)
}

func validateAddressType(t discoveryv1.AddressType, at *field.Path) field.ErrorList {
	if t == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return check.OneOf(t, []discoveryv1.AddressType{
		discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6,
	}, at)
}

func validateEndpoints(es []discoveryv1.Endpoint, t discoveryv1.AddressType, at *field.Path) field.ErrorList {
	if len(es) > maxEndpoints {
		return field.ErrorList{field.TooMany(at, len(es), maxEndpoints)}
	}
	var errs field.ErrorList
	for i := range es {
		errs = append(errs, validateEndpoint(&es[i], t, at.Index(i))...)
	}
	return errs
}

func validateEndpoint(e *discoveryv1.Endpoint, t discoveryv1.AddressType, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	addresses := at.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		errs = append(errs, field.Required(addresses, "must contain at least 1 address"))
	case n > maxAddresses:
		errs = append(errs, field.TooMany(addresses, n, maxAddresses))
	}
	for i, a := range e.Addresses {
		errs = append(errs, validateAddress(a, t, addresses, i)...)
	}
	if n := e.NodeName; n != nil {
		errs = append(errs, check.Subdomain(*n, at.Child("nodeName"))...)
	}
	topology := at.Child("deprecatedTopology")
	if n := len(e.DeprecatedTopology); n > maxTopologyLabels {
		errs = append(errs, field.TooMany(topology, n, maxTopologyLabels))
	}
	errs = append(errs, metavalidation.ValidateLabels(e.DeprecatedTopology, topology)...)
	if h := e.Hostname; h != nil {
		errs = append(errs, check.Label(*h, at.Child("hostname"))...)
	}
	if e.Hints != nil {
		errs = append(errs, validateHints(e.Hints, at.Child("hints"))...)
	}
	return errs
}

// validateAddress also refuses the addresses of the node itself and of its
// link, by which whoever may write slices could reach what listens there
// (CVE-2021-25737).
func validateAddress(a string, t discoveryv1.AddressType, all *field.Path, i int) field.ErrorList {
	at := all.Index(i)
	switch t {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
		if errs := validation.IsValidIP(at, a); len(errs) > 0 {
			return errs
		}
		var errs field.ErrorList
		if t == discoveryv1.AddressTypeIPv4 && !netutils.IsIPv4String(a) {
			errs = append(errs, field.Invalid(all, a, "must be an IPv4 address"))
		}
		if t == discoveryv1.AddressTypeIPv6 && !netutils.IsIPv6String(a) {
			errs = append(errs, field.Invalid(all, a, "must be an IPv6 address"))
		}
		return append(errs, check.PlainIP(a, at)...)
	case discoveryv1.AddressTypeFQDN:
		return validation.IsFullyQualifiedDomainName(at, a)
	}
	return nil // The type has been refused already.
}

func validateHints(h *discoveryv1.EndpointHints, at *field.Path) field.ErrorList {
	zones, nodes := at.Child("forZones"), at.Child("forNodes")
	if n := len(h.ForZones); n > maxZoneHints {
		return field.ErrorList{field.TooMany(zones, n, maxZoneHints)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, z := range h.ForZones {
		name := zones.Index(i).Child("name")
		if seen[z.Name] {
			errs = append(errs, field.Duplicate(name, z.Name))
		}
		seen[z.Name] = true
		errs = append(errs, check.Messages(validation.IsValidLabelValue(z.Name), z.Name, name)...)
	}
	if n := len(h.ForNodes); n > maxNodeHints {
		return append(errs, field.TooMany(nodes, n, maxNodeHints))
	}
	clear(seen)
	for i, n := range h.ForNodes {
		name := nodes.Index(i).Child("name")
		if seen[n.Name] {
			errs = append(errs, field.Duplicate(name, n.Name))
		}
		seen[n.Name] = true
		errs = append(errs, check.Subdomain(n.Name, name)...)
	}
	return errs
}

func validatePorts(ports []discoveryv1.EndpointPort, at *field.Path) field.ErrorList {
	if len(ports) > maxPorts {
		return field.ErrorList{field.TooMany(at, len(ports), maxPorts)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	protocols := []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
	for i := range ports {
		p, at := &ports[i], at.Index(i)
		name := "" // what defaulting makes of a missing one
		if p.Name != nil {
			name = *p.Name
		}
		if name != "" {
			errs = append(errs, check.Label(name, at.Child("name"))...)
		}
		if seen[name] {
			errs = append(errs, field.Duplicate(at.Child("name"), name))
		}
		seen[name] = true
		switch {
		case p.Protocol == nil:
			errs = append(errs, field.Required(at.Child("protocol"), ""))
		case !slices.Contains(protocols, *p.Protocol):
			errs = append(errs, field.NotSupported(at.Child("protocol"), *p.Protocol, protocols))
		}
		if a := p.AppProtocol; a != nil {
			errs = append(errs, check.QualifiedName(*a, at.Child("appProtocol"))...)
		}
	}
	return errs
}

// endpointSliceWarnings is asked about valid slices, but a slice may hold
// addresses that only its old version made valid.
func endpointSliceWarnings(s *discoveryv1.EndpointSlice) []string {
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return []string{field.NewPath("addressType").String() + ": FQDN endpoints are deprecated"}
	}
	var out []string
	for i := range s.Endpoints {
		for j, a := range s.Endpoints[i].Addresses {
			if netutils.ParseIPSloppy(a) != nil {
				at := field.NewPath("endpoints").Index(i).Child("addresses").Index(j)
				out = append(out, validation.GetWarningsForIP(at, a)...)
			}
		}
	}
	return out
}
