package servicepods

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// Repack brings subsets into the one form in which controllers write them:
// ports that have the same addresses share a subset, and everything is in
// order. An address that is ready anywhere for a port counts as ready there.
func Repack(subsets []v1.EndpointSubset) []v1.EndpointSubset {
	if subsets == nil {
		return nil
	}
	type member struct {
		address v1.EndpointAddress
		ready   bool
	}
	// A subset without ports is kept under the one key that no port has.
	byPort := map[string]map[string]member{}
	ports := map[string]*v1.EndpointPort{}
	for i := range subsets {
		ss := &subsets[i]
		visit := func(key string) {
			if byPort[key] == nil {
				byPort[key] = map[string]member{}
			}
			for _, a := range ss.NotReadyAddresses {
				if k := addressKey(&a); !byPort[key][k].ready {
					byPort[key][k] = member{a, false}
				}
			}
			for _, a := range ss.Addresses {
				byPort[key][addressKey(&a)] = member{a, true}
			}
		}
		if len(ss.Ports) == 0 {
			visit("")
		}
		for j := range ss.Ports {
			p := &ss.Ports[j]
			key := fmt.Sprintf("%05d/%s/%s/%s", p.Port, p.Protocol, p.Name, ptr.Deref(p.AppProtocol, ""))
			ports[key] = p
			visit(key)
		}
	}
	bySet := map[string][]string{} // ports by the addresses that they have
	for port, members := range byPort {
		var set strings.Builder
		for _, k := range slices.Sorted(maps.Keys(members)) {
			fmt.Fprintf(&set, "%s=%v;", k, members[k].ready)
		}
		bySet[set.String()] = append(bySet[set.String()], port)
	}
	out := make([]v1.EndpointSubset, 0, len(bySet))
	for _, set := range slices.Sorted(maps.Keys(bySet)) {
		keys := bySet[set]
		slices.Sort(keys)
		var ss v1.EndpointSubset
		for _, k := range keys {
			if p := ports[k]; p != nil {
				ss.Ports = append(ss.Ports, *p)
			}
		}
		members := byPort[keys[0]]
		for _, k := range slices.Sorted(maps.Keys(members)) {
			if m := members[k]; m.ready {
				ss.Addresses = append(ss.Addresses, m.address)
			} else {
				ss.NotReadyAddresses = append(ss.NotReadyAddresses, m.address)
			}
		}
		slices.SortStableFunc(ss.Addresses, compareAddresses)
		slices.SortStableFunc(ss.NotReadyAddresses, compareAddresses)
		out = append(out, ss)
	}
	return out
}

func addressKey(a *v1.EndpointAddress) string {
	if a.TargetRef == nil {
		return a.IP
	}
	return a.IP + "/" + string(a.TargetRef.UID)
}

// compareAddresses orders by the bytes of the address, as upstream does.
func compareAddresses(a, b v1.EndpointAddress) int {
	x, err1 := netip.ParseAddr(a.IP)
	y, err2 := netip.ParseAddr(b.IP)
	if err1 != nil || err2 != nil {
		return cmp.Compare(a.IP, b.IP)
	}
	return x.Compare(y)
}
