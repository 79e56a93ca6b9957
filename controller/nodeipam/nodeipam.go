package nodeipam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
)

// Upstream's sizes of a node's range.
const (
	defaultBits4 = 24
	defaultBits6 = 64
)

// Range is one range of the cluster and the size of its parts.
type Range struct {
	CIDR netip.Prefix
	// NodeBits is the prefix length of a node's range.
	NodeBits int
}

// Ranges cuts each range into parts of upstream's default size: /24, and /64 for
// IPv6. One that is smaller is a single part, so that a cluster of one node can
// have it whole.
func Ranges(cidrs ...netip.Prefix) []Range {
	var out []Range
	for _, c := range cidrs {
		bits := defaultBits4
		if c.Addr().Is6() {
			bits = defaultBits6
		}
		out = append(out, Range{CIDR: c.Masked(), NodeBits: max(bits, c.Bits())})
	}
	return out
}

// Definition of the controller for the ranges of a cluster, at most one of each
// address family, the primary first.
func Definition(ranges ...Range) controller.Definition {
	return controller.Definition{
		Name: "node-ipam-controller", ServiceAccount: "node-controller",
		New: func(env controller.Env) (controller.Controller, error) { return newController(env, ranges) },
	}
}

type ipam struct {
	env   controller.Env
	loop  *controller.Loop[string]
	nodes corelisters.NodeLister

	mu     sync.Mutex
	ledger *ledger
}

func newController(env controller.Env, ranges []Range) (controller.Controller, error) {
	l, err := newLedger(ranges)
	if err != nil {
		return nil, fmt.Errorf("ranges of nodes: %w", err)
	}
	nodes := env.Informers.Core().V1().Nodes()
	c := &ipam{env: env, nodes: nodes.Lister(), ledger: l}
	// The ledger is complete when the first list has been delivered, and the
	// loop reconciles nothing before that.
	c.loop = controller.NewLoop("nodeipam", env, 1, c.reconcile)
	return c, controller.Watch(c.loop, nodes.Informer(), c.observe)
}

// Run implements controller.Controller.
func (c *ipam) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// observe keeps the ledger, and returns the nodes to look at.
func (c *ipam) observe(_, n *v1.Node, deleted bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if deleted {
		return c.ledger.release(n.Name)
	}
	if has := prefixes(n); len(has) > 0 {
		c.ledger.occupy(n.Name, has)
		return nil
	}
	if c.ledger.waiting[n.Name] {
		return nil
	}
	return []string{n.Name}
}

func (c *ipam) reconcile(ctx context.Context, name string) (controller.Result, error) {
	n, err := c.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil || len(n.Spec.PodCIDRs) > 0 {
		return controller.Done, err
	}
	c.mu.Lock()
	ranges, err := c.ledger.give(name)
	first := len(c.ledger.waiting) == 1
	c.mu.Unlock()
	if errors.Is(err, errFull) {
		c.env.Events.Event(n, v1.EventTypeNormal, "CIDRNotAvailable", "Node "+name+" status is now: CIDRNotAvailable")
		if first {
			c.env.Log.Warn("no range of pod addresses is left for nodes; delete some, or give the cluster a larger range", "node", name)
		}
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	patch, err := patchOf(n, ranges)
	if err != nil {
		return controller.Done, err
	}
	_, err = c.env.Client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		// Its deletion may have been observed before it was given anything.
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, waiting := range c.ledger.release(name) {
			c.loop.Add(waiting)
		}
		return controller.Done, nil
	}
	return controller.Done, err
}

// patchOf gives exactly this object its ranges, not one of the same name.
func patchOf(n *v1.Node, ranges []netip.Prefix) ([]byte, error) {
	spec := v1.NodeSpec{}
	for _, r := range ranges {
		spec.PodCIDRs = append(spec.PodCIDRs, r.String())
	}
	spec.PodCIDR = spec.PodCIDRs[0]
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": n.UID},
		"spec":     map[string]any{"podCIDR": spec.PodCIDR, "podCIDRs": spec.PodCIDRs},
	})
}

// prefixes are the ranges that an object shows. Validation lets nothing else in.
func prefixes(n *v1.Node) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range n.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}
