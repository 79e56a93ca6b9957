package ipalloc

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"proa/cache"
)

// DefaultServiceCIDR is the name of the ServiceCIDR that every cluster has from
// the beginning: the ranges that it is configured with.
const DefaultServiceCIDR = "kubernetes"

// ranges are what cluster IPs are given from: those of the ServiceCIDRs that are
// ready, or what is configured while the cluster has no ServiceCIDR.
type ranges struct {
	configured []netip.Prefix
	cached     *cache.Cache
}

// open lists the ranges of a family that addresses may be given from, each
// once, and those of the default first.
func (r *ranges) open(ctx context.Context, f corev1.IPFamily) ([]addressRange, error) {
	res, err := r.cached.List(ctx, cache.ListRequest{Match: cache.Any})
	if err != nil {
		return nil, fmt.Errorf("ranges of cluster IPs cannot be read: %w", err)
	}
	var out []addressRange
	for _, p := range openPrefixes(res.Entries, r.configured) {
		if familyOf(p.Addr()) == f {
			out = append(out, newAddressRange(p))
		}
	}
	return out, nil
}

// openPrefixes decides which ranges are open.
func openPrefixes(stored []*cache.Entry, configured []netip.Prefix) []netip.Prefix {
	if len(stored) == 0 {
		return configured
	}
	var ready []*networkingv1.ServiceCIDR
	for _, e := range stored {
		c, ok := e.Object.(*networkingv1.ServiceCIDR)
		if ok && c.DeletionTimestamp.IsZero() && meta.IsStatusConditionTrue(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
			ready = append(ready, c)
		}
	}
	slices.SortStableFunc(ready, func(a, b *networkingv1.ServiceCIDR) int {
		rank := func(c *networkingv1.ServiceCIDR) int {
			if c.Name == DefaultServiceCIDR {
				return 0
			}
			return 1
		}
		return cmp.Compare(rank(a), rank(b))
	})
	var out []netip.Prefix
	for _, c := range ready {
		for _, s := range c.Spec.CIDRs {
			if p, err := netip.ParsePrefix(s); err == nil && !slices.Contains(out, p.Masked()) {
				out = append(out, p.Masked())
			}
		}
	}
	return out
}
