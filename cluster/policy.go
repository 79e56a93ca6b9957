package cluster

import (
	"context"
	"fmt"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"

	"proa/network/policy"
)

// isolation lets a pod wait until its network policies are enforced.
type isolation func(ctx context.Context, p *v1.Pod, ips []string) error

// startPolicies enforces network policies on this node. It starts the informers.
// Where another does that, what a former server has left is removed.
func (s *server) startPolicies(ctx context.Context, shared informers.SharedInformerFactory) (isolation, error) {
	n := &s.config.Network
	if n.Policy == "none" {
		if err := policy.Cleanup(ctx, policy.DefaultTable); err != nil {
			s.log.Warn("rules of network policies may be left from before", "err", err)
		}
		return nil, nil
	}
	address, err := netip.ParseAddr(n.ClusterDNS)
	if err != nil {
		return nil, fmt.Errorf("network.clusterDNS: %w", err)
	}
	c := policy.Config{Informers: shared, NodeName: s.config.Node.Name, DNS: address, Log: s.log}
	if n.CNI == "bridge" {
		c.Bridge = n.Bridge
	}
	e, err := policy.New(c)
	if err != nil {
		return nil, err
	}
	s.parts.run("network policies", func(ctx context.Context) error {
		defer shared.Shutdown()
		return e.Run(ctx)
	})
	return e.Admit, nil
}
