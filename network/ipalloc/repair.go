package ipalloc

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"proa/cache"
	"proa/store"
)

const (
	// repairInterval is the safety net's: nothing waits for it.
	repairInterval = 10 * time.Minute
	// claimGrace is how old a claim must be before it can count as left over:
	// its service may be about to be stored.
	claimGrace = time.Minute
)

// Run repairs at once, and then from time to time, until ctx ends.
func (a *Services) Run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		next := repairInterval
		if err := a.Repair(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("cluster IPs and node ports were not repaired; trying again", "err", err)
			next = claimGrace
		}
		t.Reset(next)
	}
}

// Repair makes what is taken agree with what services have: it takes what they
// have and nobody took (they may have been stored by another server's rules),
// and gives back what nobody has any more. Not for concurrent use.
func (a *Services) Repair(ctx context.Context) error {
	services, err := a.services.List(ctx, cache.ListRequest{Match: cache.Latest})
	if err != nil {
		return fmt.Errorf("services cannot be listed: %w", err)
	}
	claims, err := a.addresses.cached.List(ctx, cache.ListRequest{Match: cache.Latest})
	if err != nil {
		return fmt.Errorf("IP addresses cannot be listed: %w", err)
	}
	usedIPs, usedPorts := map[string]*corev1.Service{}, map[int32]bool{}
	for _, e := range services.Entries {
		s := e.Object.(*corev1.Service)
		h := heldBy(s)
		for _, ip := range h.ips {
			addr, err := netip.ParseAddr(ip)
			if err != nil {
				continue
			}
			if other := usedIPs[addr.Unmap().String()]; other != nil {
				a.log.Error("two services have one cluster IP; delete one of them", "ip", ip,
					"service", s.Namespace+"/"+s.Name, "other", other.Namespace+"/"+other.Name)
				continue
			}
			usedIPs[addr.Unmap().String()] = s
		}
		for _, p := range h.ports {
			usedPorts[p] = true
		}
	}
	return errors.Join(a.repairAddresses(ctx, claims.Entries, usedIPs), a.repairPorts(ctx, usedPorts))
}

func (a *Services) repairAddresses(ctx context.Context, claims []*cache.Entry, used map[string]*corev1.Service) error {
	var errs []error
	claimed := map[string]bool{}
	for _, e := range claims {
		ip := e.Object.(*networkingv1.IPAddress)
		claimed[ip.Name] = true
		if s := used[ip.Name]; s != nil && belongsTo(ip, s.Namespace, s.Name) {
			continue
		}
		ours := labels.Set(ip.Labels).Get(networkingv1.LabelManagedBy) == managedBy
		if !ours || a.now().Sub(ip.CreationTimestamp.Time) < claimGrace {
			continue
		}
		if used[ip.Name] != nil {
			a.log.Error("the claim on a cluster IP names another service than the one that has it; it is claimed anew", "ip", ip.Name)
			claimed[ip.Name] = false
		}
		if _, err := a.addresses.cached.Delete(ctx, e); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			errs = append(errs, fmt.Errorf("%s: %w", ip.Name, err))
		}
	}
	for ip, s := range used {
		if claimed[ip] {
			continue
		}
		addr := netip.MustParseAddr(ip)
		if err := a.addresses.claim(ctx, addr, s, false); err != nil && !errors.Is(err, errIPAllocated) {
			errs = append(errs, fmt.Errorf("%s: %w", ip, err))
		}
	}
	return errors.Join(errs...)
}

// repairPorts gives a port back only when two repairs in a row have found it
// unused, since a port has no time at which it was taken.
func (a *Services) repairPorts(ctx context.Context, used map[int32]bool) error {
	suspects := map[int32]bool{}
	err := a.ports.change(ctx, func(taken *big.Int) error {
		clear(suspects)
		for port := a.ports.First; port <= a.ports.Last; port++ {
			bit := int(port - a.ports.First)
			switch {
			case used[port]:
				taken.SetBit(taken, bit, 1)
			case taken.Bit(bit) == 0:
			case a.suspects[port]:
				taken.SetBit(taken, bit, 0)
			default:
				suspects[port] = true
			}
		}
		return nil
	})
	if err == nil {
		a.suspects = suspects
	}
	return err
}
