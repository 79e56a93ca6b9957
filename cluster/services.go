package cluster

import (
	"context"
	"fmt"
	"net/netip"

	"k8s.io/client-go/informers"

	"proa/auth"
	"proa/network/dns"
	"proa/network/proxy"
)

// proxyUser is who a node's service proxy is to the API server.
func proxyUser() *auth.User {
	return &auth.User{Name: "system:kube-proxy", Groups: []string{auth.GroupAuthenticated}}
}

// dnsPort is where pods ask for names.
const dnsPort = 53

// startServices makes services reachable from this node, by address and by
// name. It starts the informers, which both read.
func (s *server) startServices(shared informers.SharedInformerFactory) error {
	pods, err := netip.ParsePrefix(s.config.Network.PodCIDR)
	if err != nil {
		return fmt.Errorf("network.podCIDR: %w", err)
	}
	address, err := netip.ParseAddr(s.config.Network.ClusterDNS)
	if err != nil {
		return fmt.Errorf("network.clusterDNS: %w", err)
	}
	p, err := proxy.New(proxy.Config{
		Informers: shared, NodeName: s.config.Node.Name, ClusterCIDRs: []netip.Prefix{pods}, Log: s.log,
	})
	if err != nil {
		return err
	}
	upstreams, err := dns.Upstreams(address)
	if err != nil {
		return err
	}
	names, err := dns.New(dns.Config{
		Informers: shared, Domain: s.config.Network.ClusterDomain, Address: netip.AddrPortFrom(address, dnsPort),
		Upstreams: upstreams, Log: s.log,
	})
	if err != nil {
		return err
	}
	if err := dns.Claim(address); err != nil {
		return err
	}
	s.parts.run("service proxy", func(ctx context.Context) error {
		defer shared.Shutdown()
		return p.Run(ctx)
	})
	s.parts.run("cluster DNS", func(ctx context.Context) error {
		// A node without names is of more use than none.
		if err := names.Run(ctx); err != nil {
			s.log.Error("pods of this node cannot resolve names", "err", err)
		}
		return nil
	})
	return nil
}
