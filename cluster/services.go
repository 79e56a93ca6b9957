package cluster

import (
	"context"
	"fmt"
	"net/netip"

	"k8s.io/client-go/informers"

	"proa/auth"
	"proa/network/proxy"
)

// proxyUser is who a node's service proxy is to the API server.
func proxyUser() *auth.User {
	return &auth.User{Name: "system:kube-proxy", Groups: []string{auth.GroupAuthenticated}}
}

// startProxy makes services reachable from this node. It starts the informers.
func (s *server) startProxy(shared informers.SharedInformerFactory) error {
	pods, err := netip.ParsePrefix(s.config.Network.PodCIDR)
	if err != nil {
		return fmt.Errorf("network.podCIDR: %w", err)
	}
	p, err := proxy.New(proxy.Config{
		Informers: shared, NodeName: s.config.Node.Name, ClusterCIDRs: []netip.Prefix{pods}, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.parts.run("service proxy", func(ctx context.Context) error {
		defer shared.Shutdown()
		return p.Run(ctx)
	})
	return nil
}
