package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"

	"proa/auth"
	"proa/controller"
	"proa/network/cni"
	"proa/network/routes"
)

// networkUser is who a node's network and service proxy are to the API server:
// unlike the node's agent they may read every node, and nothing but what
// forwarding needs.
func networkUser() *auth.User {
	return &auth.User{Name: "system:kube-proxy", Groups: []string{auth.GroupAuthenticated}}
}

// podCIDRs are the ranges of all pods.
func podCIDRs(c *Config) ([]netip.Prefix, error) { return parsePodCIDRs(c.Network.PodCIDR) }

func parsePodCIDRs(list ...string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("range of pods %q: must be an address range such as 10.42.0.0/16", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// podNetworkConfig is the pod network of a node that has the given ranges.
func podNetworkConfig(c *Config, own []netip.Prefix) (cni.Config, error) {
	all, err := podCIDRs(c)
	if err != nil {
		return cni.Config{}, err
	}
	if lan, err := netip.ParsePrefix(c.Network.NodeCIDR); err == nil && lan.Contains(addressOr(c.Node.Address)) {
		all = append(all, lan.Masked())
	}
	return cni.Config{
		Bridge: c.Network.Bridge, PodCIDRs: own, Cluster: all,
		ConfDir: c.Network.CNIConfDir, StateDir: filepath.Join(c.RunDir, "cni"),
	}, nil
}

// addressOr is the zero address where s is none.
func addressOr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// podNetwork brings this node into the network of pods: it lays out the range
// that the node is given, and keeps the routes to the others.
type podNetwork struct {
	config *Config
	nodes  corelisters.NodeLister
	loop   *controller.Loop[string]
	routes *routes.Routes
	log    *slog.Logger

	own     []netip.Prefix // laid out; the loop's one worker's
	foreign sync.Once
	// ours is closed when the network that pods use turns out to be this one.
	ours   chan struct{}
	opened sync.Once
}

// startPodNetwork follows the nodes by informers that may list all of them, and
// that it starts.
func (s *server) startPodNetwork(shared informers.SharedInformerFactory) error {
	if s.config.Network.CNI != "bridge" {
		return nil
	}
	cluster, err := podCIDRs(s.config)
	if err != nil {
		return err
	}
	n := &podNetwork{config: s.config, nodes: shared.Core().V1().Nodes().Lister(), log: s.log, ours: make(chan struct{})}
	n.routes, err = routes.New(routes.Config{Node: s.config.Node.Name, Cluster: cluster, Informers: shared, Log: s.log})
	if err != nil {
		return err
	}
	n.loop = controller.NewLoop("podnetwork", controller.Env{Clock: clock.RealClock{}, Log: s.log}, 1, n.reconcile)
	if err := controller.Watch(n.loop, shared.Core().V1().Nodes().Informer(), func(_, node *v1.Node, deleted bool) []string {
		if deleted || node.Name != s.config.Node.Name {
			return nil
		}
		return []string{node.Name}
	}); err != nil {
		return err
	}
	s.parts.run("pod network", func(ctx context.Context) error {
		shared.Start(ctx.Done())
		defer shared.Shutdown()
		return n.run(ctx)
	})
	return nil
}

func (n *podNetwork) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	routing := make(chan error, 1)
	go func() {
		select {
		case <-n.ours:
			routing <- n.routes.Run(ctx)
		case <-ctx.Done():
			routing <- nil
		}
	}()
	err := n.loop.Run(ctx)
	cancel()
	return errors.Join(err, <-routing)
}

// reconcile lays out what this node was given.
func (n *podNetwork) reconcile(ctx context.Context, name string) (controller.Result, error) {
	node, err := n.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	var own []netip.Prefix
	for _, s := range node.Spec.PodCIDRs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return controller.Done, fmt.Errorf("range of this node: %w", err)
		}
		own = append(own, p)
	}
	if len(own) == 0 || slices.Equal(own, n.own) {
		return controller.Done, nil // it is on its way, or here
	}
	c, err := podNetworkConfig(n.config, own)
	if err != nil {
		return controller.Done, err
	}
	switch err := cni.Setup(ctx, c); {
	case errors.Is(err, cni.ErrForeign):
		n.foreign.Do(func() { n.log.Info("the operator's pod network is used", "reason", err) })
		return controller.Done, nil
	case err != nil:
		return controller.Done, err
	}
	n.log.Info("this node's pods have a range", "podCIDRs", own)
	n.own = own
	n.opened.Do(func() { close(n.ours) })
	return controller.Done, nil
}
