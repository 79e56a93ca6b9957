package ipalloc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/cache"
	"proa/resource"
	"proa/resource/core"
)

// Config of an allocator. Addresses is required.
type Config struct {
	// Addresses are the ranges of cluster IPs: one, or one of each family. The
	// first is that of services which do not say. They count until the cluster
	// has ServiceCIDRs.
	Addresses []netip.Prefix
	// NodePorts is 30000-32767 unless set.
	NodePorts PortRange

	Log *slog.Logger
	// Random makes a number in [0,n).
	Random func(n uint64) uint64
	// Now and UID are for the objects that claim addresses.
	Now func() time.Time
	UID func() types.UID
}

// settleTimeout bounds the giving back, which must go on when the request that
// caused it has gone. What it misses is found by Repair.
const settleTimeout = 5 * time.Second

// Services allocates what services need. Make it with New. Safe for concurrent
// use.
type Services struct {
	families  []corev1.IPFamily
	addresses addresses
	ports     ports
	services  *cache.Cache
	random    func(uint64) uint64
	now       func() time.Time
	log       *slog.Logger

	// suspects are ports that the last repair found taken and unused. For
	// Repair only, which is not for concurrent use.
	suspects map[int32]bool
}

var _ resource.Allocator = (*Services)(nil)

// New makes an allocator over the caches of services, of the ranges and of the
// claims. The definitions are those of the table in use.
func New(hub *cache.Hub, services, serviceCIDRs, ipAddresses *resource.Definition, c Config) (*Services, error) {
	if len(c.Addresses) == 0 || len(c.Addresses) > 2 {
		return nil, fmt.Errorf("ipalloc: %d ranges of cluster IPs; set one, or one of each IP family", len(c.Addresses))
	}
	if c.NodePorts == (PortRange{}) {
		c.NodePorts = PortRange{30000, 32767}
	}
	if c.NodePorts.First < 1 || c.NodePorts.Last > 65535 || c.NodePorts.First > c.NodePorts.Last {
		return nil, fmt.Errorf("ipalloc: %s is no range of ports", c.NodePorts)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Random == nil {
		c.Random = rand.Uint64N
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.UID == nil {
		c.UID = func() types.UID { return types.UID(uuid.NewString()) }
	}
	s := &Services{
		ports:    ports{c.NodePorts, hub.Cache(core.RangeAllocation())},
		services: hub.Cache(services),
		random:   c.Random,
		now:      c.Now,
		log:      c.Log,
		addresses: addresses{
			ranges: ranges{c.Addresses, hub.Cache(serviceCIDRs)},
			cached: hub.Cache(ipAddresses),
			random: c.Random,
			uid:    c.UID,
			now:    func() metav1.Time { return metav1.NewTime(c.Now()) },
		},
	}
	for _, p := range c.Addresses {
		f := familyOf(p.Addr())
		if !p.IsValid() || slices.Contains(s.families, f) {
			return nil, fmt.Errorf("ipalloc: %v: set one range of cluster IPs of each IP family", c.Addresses)
		}
		if newAddressRange(p).size == 0 {
			return nil, fmt.Errorf("ipalloc: the range %s has no addresses to give", p)
		}
		s.families = append(s.families, f)
	}
	return s, nil
}

// held is what a service has taken.
type held struct {
	ips   []string
	ports []int32
}

func heldBy(s *corev1.Service) held {
	var h held
	if s == nil {
		return h
	}
	if s.Spec.Type != corev1.ServiceTypeExternalName && !headless(s) {
		for _, ip := range s.Spec.ClusterIPs {
			if ip != "" {
				h.ips = append(h.ips, ip)
			}
		}
	}
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 && !slices.Contains(h.ports, p.NodePort) {
			h.ports = append(h.ports, p.NodePort)
		}
	}
	if p := s.Spec.HealthCheckNodePort; p != 0 {
		h.ports = append(h.ports, p)
	}
	return h
}

// without is what h has and other has not.
func (h held) without(other held) held {
	var out held
	for _, ip := range h.ips {
		if !slices.Contains(other.ips, ip) {
			out.ips = append(out.ips, ip)
		}
	}
	for _, p := range h.ports {
		if !slices.Contains(other.ports, p) {
			out.ports = append(out.ports, p)
		}
	}
	return out
}

// Allocate implements [resource.Allocator].
func (a *Services) Allocate(ctx context.Context, obj, previous resource.Object, dryRun bool) (func(context.Context, bool), error) {
	s := obj.(*corev1.Service)
	var old *corev1.Service
	if previous != nil {
		old = previous.(*corev1.Service)
	}
	if errs := decideFamilies(s, old, a.families); len(errs) > 0 {
		return nil, invalid(s, errs)
	}
	had := heldBy(old)
	var taken held
	give := func(ctx context.Context, h held) {
		if dryRun || len(h.ips)+len(h.ports) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		defer cancel()
		a.giveBack(ctx, s, h)
	}
	err := a.takeAddresses(ctx, s, old, &taken, dryRun)
	if err == nil {
		err = a.takePorts(ctx, s, had, &taken, dryRun)
	}
	if err != nil {
		give(ctx, taken)
		return nil, err
	}
	has := heldBy(s)
	return func(ctx context.Context, stored bool) {
		if stored {
			give(ctx, had.without(has))
		} else {
			give(ctx, taken)
		}
	}, nil
}

// Release implements [resource.Allocator].
func (a *Services) Release(ctx context.Context, obj resource.Object) {
	s := obj.(*corev1.Service)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	a.giveBack(ctx, s, heldBy(s))
}

// giveBack does what it can; the rest is for Repair.
func (a *Services) giveBack(ctx context.Context, s *corev1.Service, h held) {
	var errs []error
	for _, ip := range h.ips {
		if err := a.addresses.release(ctx, ip, s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ip, err))
		}
	}
	if len(h.ports) > 0 {
		errs = append(errs, a.ports.change(ctx, func(taken *big.Int) error {
			for _, p := range h.ports {
				a.ports.release(taken, p)
			}
			return nil
		}))
	}
	if err := errors.Join(errs...); err != nil {
		a.log.Warn("what a service had taken was not given back; the next repair will do it",
			"namespace", s.Namespace, "service", s.Name, "err", err)
	}
}

// takeAddresses fills in the cluster IPs, one for each family.
func (a *Services) takeAddresses(ctx context.Context, s, old *corev1.Service, taken *held, dryRun bool) error {
	sp := &s.Spec
	if sp.Type == corev1.ServiceTypeExternalName || headless(s) || settled(s, old) {
		return nil
	}
	had := heldBy(old)
	ips := slices.Clone(sp.ClusterIPs)
	for i, f := range sp.IPFamilies {
		if i < len(ips) {
			if slices.Contains(had.ips, ips[i]) {
				continue
			}
			if err := a.addresses.take(ctx, ips[i], s, dryRun); err != nil {
				return invalid(s, field.ErrorList{field.Invalid(ipsPath, []string{ips[i]}, fmt.Sprintf("failed to allocate IP %v: %v", ips[i], err))})
			}
			taken.ips = append(taken.ips, ips[i])
			continue
		}
		ip, err := a.addresses.any(ctx, f, s, dryRun)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP: %w", err))
		}
		ips = append(ips, ip)
		taken.ips = append(taken.ips, ip)
	}
	sp.ClusterIPs = ips
	if len(ips) > 0 {
		sp.ClusterIP = ips[0]
	}
	return nil
}

// settled reports that an update of a service is not one that gives it addresses:
// what it has may not change, which validation says better than an allocator.
func settled(s, old *corev1.Service) bool {
	return old != nil && old.Spec.Type != corev1.ServiceTypeExternalName &&
		(headless(old) || len(s.Spec.IPFamilies) <= len(old.Spec.IPFamilies))
}

// takePorts fills in the node ports, all in one write.
func (a *Services) takePorts(ctx context.Context, s *corev1.Service, had held, taken *held, dryRun bool) error {
	want := core.NodePortsWanted(s)
	if !want.Any {
		return nil
	}
	var given []corev1.ServicePort
	var health int32
	var mine []int32
	decide := func(bits *big.Int) error {
		// A retry begins anew.
		given, health, mine = slices.Clone(s.Spec.Ports), s.Spec.HealthCheckNodePort, nil
		byPort := map[int32]int32{} // node port by port: protocols share one
		take := func(port int32) error {
			if slices.Contains(had.ports, port) || slices.Contains(mine, port) {
				return nil
			}
			if err := a.ports.take(bits, port); err != nil {
				return err
			}
			mine = append(mine, port)
			return nil
		}
		for i := range given {
			if p := &given[i]; p.NodePort != 0 {
				if err := take(p.NodePort); err != nil {
					return invalid(s, field.ErrorList{field.Invalid(specPath.Child("ports").Index(i).Child("nodePort"), p.NodePort, err.Error())})
				}
				byPort[p.Port] = p.NodePort
			}
		}
		for i := range given {
			p := &given[i]
			if p.NodePort != 0 || !want.Ports {
				continue
			}
			if port, ok := byPort[p.Port]; ok && !usesPort(given, p.Protocol, port) {
				p.NodePort = port
				continue
			}
			port, err := a.ports.any(bits, a.random)
			if err != nil {
				return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
			}
			p.NodePort = port
			byPort[p.Port] = port
			mine = append(mine, port)
		}
		switch {
		case !want.Health:
		case health != 0:
			if err := take(health); err != nil {
				return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %w", health, err))
			}
		default:
			port, err := a.ports.any(bits, a.random)
			if err != nil {
				return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort: %w", err))
			}
			health = port
			mine = append(mine, port)
		}
		if dryRun {
			return errDryRun
		}
		return nil
	}
	if err := a.ports.change(ctx, decide); err != nil && !errors.Is(err, errDryRun) {
		var status *apierrors.StatusError
		if errors.As(err, &status) {
			return status
		}
		return apierrors.NewInternalError(err)
	}
	s.Spec.Ports, s.Spec.HealthCheckNodePort = given, health
	taken.ports = append(taken.ports, mine...)
	return nil
}

// errDryRun ends a change of the node ports before it is written.
var errDryRun = errors.New("dry run")

func usesPort(ports []corev1.ServicePort, protocol corev1.Protocol, nodePort int32) bool {
	for _, p := range ports {
		if p.Protocol == protocol && p.NodePort == nodePort {
			return true
		}
	}
	return false
}

func invalid(s *corev1.Service, errs field.ErrorList) error {
	return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), s.Name, errs)
}

// For makes the allocators of an API server that serves the table, and the one
// among them whose Run has to be called.
func For(table *resource.Table, hub *cache.Hub, c Config) (map[schema.GroupResource]resource.Allocator, *Services, error) {
	v := table.View()
	find := func(gvr schema.GroupVersionResource) (*resource.Definition, error) {
		m, ok := v.Resource(gvr)
		if !ok {
			return nil, fmt.Errorf("ipalloc: the table has no %s", gvr.GroupResource())
		}
		return m.Definition, nil
	}
	services, err := find(corev1.SchemeGroupVersion.WithResource("services"))
	if err != nil {
		return nil, nil, err
	}
	addresses, err := find(networkingv1.SchemeGroupVersion.WithResource("ipaddresses"))
	if err != nil {
		return nil, nil, err
	}
	ranges, err := find(networkingv1.SchemeGroupVersion.WithResource("servicecidrs"))
	if err != nil {
		return nil, nil, err
	}
	a, err := New(hub, services, ranges, addresses, c)
	if err != nil {
		return nil, nil, err
	}
	return map[schema.GroupResource]resource.Allocator{services.GroupResource(): a}, a, nil
}
