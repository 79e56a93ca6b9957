package ipalloc

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/cache"
	"proa/store"
)

// managedBy marks the IPAddress objects that servers make for services, ours
// and upstream's alike.
const managedBy = "ipallocator.k8s.io"

// addresses are the cluster IPs, each taken by an object of its name.
type addresses struct {
	ranges ranges
	cached *cache.Cache
	random func(n uint64) uint64
	uid    func() types.UID
	now    func() metav1.Time
}

func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// take claims an address that was asked for.
func (as *addresses) take(ctx context.Context, ip string, of *corev1.Service, dryRun bool) error {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	a = a.Unmap()
	open, err := as.ranges.open(ctx, familyOf(a))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(open, func(r addressRange) bool { return r.contains(a) }) {
		return errNoRange
	}
	return as.claim(ctx, a, of, dryRun)
}

// any claims a free address of a family.
func (as *addresses) any(ctx context.Context, f corev1.IPFamily, of *corev1.Service, dryRun bool) (string, error) {
	open, err := as.ranges.open(ctx, f)
	if err != nil {
		return "", err
	}
	for _, r := range open {
		ip, err := as.anyOf(ctx, r, of, dryRun)
		if !errors.Is(err, errFull) {
			return ip, err
		}
	}
	return "", errFull
}

// anyOf claims a free address of a range.
func (as *addresses) anyOf(ctx context.Context, r addressRange, of *corev1.Service, dryRun bool) (string, error) {
	for i := range candidates(r.size, ipOffset(r.size), as.random) {
		a := r.at(i)
		if _, _, err := as.cached.Get(ctx, "", a.String(), cache.Any, 0); err == nil {
			continue
		} else if !errors.Is(err, cache.ErrNotFound) {
			return "", err
		}
		switch err := as.claim(ctx, a, of, dryRun); {
		case err == nil:
			return a.String(), nil
		case !errors.Is(err, errIPAllocated):
			return "", err
		}
	}
	return "", errFull
}

// claim creates the object of an address.
func (as *addresses) claim(ctx context.Context, a netip.Addr, of *corev1.Service, dryRun bool) error {
	if dryRun {
		_, err := as.cached.Fresh(ctx, "", a.String())
		if errors.Is(err, cache.ErrNotFound) {
			return nil
		}
		if err == nil {
			return errIPAllocated
		}
		return err
	}
	_, err := as.cached.Create(ctx, &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{
			Name: a.String(), UID: as.uid(), CreationTimestamp: as.now().Rfc3339Copy(), Generation: 1,
			Labels: map[string]string{
				networkingv1.LabelIPAddressFamily: string(familyOf(a)),
				networkingv1.LabelManagedBy:       managedBy,
			},
		},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: of.Namespace, Name: of.Name,
		}},
	}, 0)
	if errors.Is(err, store.ErrExists) {
		return errIPAllocated
	}
	return err
}

// release gives an address back if it belongs to the service.
func (as *addresses) release(ctx context.Context, ip string, of *corev1.Service) error {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return nil
	}
	for {
		e, err := as.cached.Fresh(ctx, "", a.Unmap().String())
		if errors.Is(err, cache.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !belongsTo(e.Object.(*networkingv1.IPAddress), of.Namespace, of.Name) {
			return nil
		}
		if _, err = as.cached.Delete(ctx, e); !errors.Is(err, store.ErrConflict) {
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		}
	}
}

func belongsTo(a *networkingv1.IPAddress, namespace, name string) bool {
	p := a.Spec.ParentRef
	return p != nil && p.Group == "" && p.Resource == "services" && p.Namespace == namespace && p.Name == name
}
