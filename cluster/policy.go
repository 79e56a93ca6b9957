package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"

	"proa/network/policy"
)

const policyName = "network-policy"

// PolicyAlone enforces network policies by itself, against any API server. The
// node's agent does not know of it: what a pod sends before the API shows its
// address is not judged.
type PolicyAlone struct {
	// Kubeconfig is the file that says how to reach the API server, as somebody
	// who may follow network policies, pods and namespaces.
	Kubeconfig string
	// NodeName is the node that it works for. Default: the host name.
	NodeName string
	// Bridge that the pods of this node hang on, if they do.
	Bridge string
	// Cleanup removes the rules and ends.
	Cleanup bool
	Log     *slog.Logger
}

// Run enforces policies until ctx ends. The rules stay.
func (a *PolicyAlone) Run(ctx context.Context) error {
	if a.Cleanup {
		return policy.Cleanup(ctx, policy.DefaultTable)
	}
	_, client, err := remote(a.Kubeconfig, policyName)
	if err != nil {
		return err
	}
	c := policy.Config{
		Informers: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(policy.Trim)), Bridge: a.Bridge, Log: a.Log,
	}
	if c.NodeName, err = nodeNameOr(a.NodeName); err != nil {
		return err
	}
	e, err := policy.New(c)
	if err != nil {
		return err
	}
	defer c.Informers.Shutdown()
	return e.Run(ctx)
}

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
