package cluster

import (
	"context"
	"fmt"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"proa/network/dns"
	"proa/network/proxy"
)

// dnsPort is where pods ask for names.
const dnsPort = 53

// startServices makes services reachable from this node, by address and by
// name. It starts the informers, which both read. client is of the same identity.
func (s *server) startServices(client kubernetes.Interface, shared informers.SharedInformerFactory) error {
	pods, err := podCIDRs(s.config)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.config.Network.ClusterDNS)
	if err != nil {
		return fmt.Errorf("network.clusterDNS: %w", err)
	}
	p, err := proxy.New(proxy.Config{
		Informers: shared, NodeName: s.config.Node.Name, ClusterCIDRs: pods, Log: s.log,
	})
	if err != nil {
		return err
	}
	upstreams, err := dns.Upstreams(address)
	if err != nil {
		return err
	}
	events := record.NewBroadcaster()
	names, err := dns.New(dns.Config{
		Informers: shared, Client: client,
		Events: events.NewRecorder(scheme.Scheme, v1.EventSource{Component: "coredns", Host: s.config.Node.Name}),
		Domain: s.config.Network.ClusterDomain, Address: netip.AddrPortFrom(address, dnsPort),
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
		defer events.Shutdown()
		events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
		// A node without names is of more use than none.
		if err := names.Run(ctx); err != nil {
			s.log.Error("pods of this node cannot resolve names", "err", err)
		}
		return nil
	})
	return nil
}
