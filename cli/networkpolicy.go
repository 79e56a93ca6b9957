package cli

import (
	"github.com/spf13/cobra"

	"proa/cluster"
)

func newNetworkPolicy() *cobra.Command {
	var a cluster.PolicyAlone
	var level string
	cmd := &cobra.Command{
		Use: "network-policy", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Enforce network policies on a node alone, for a cluster elsewhere",
		Long: `Enforce network policies on a node alone, for a cluster elsewhere.

The kubeconfig must be that of somebody who may list and watch network policies,
pods and namespaces. The rules stay when it ends; --cleanup removes them.

Within a node of Proa's a pod waits for its rules. Here it does not: they hold
from when the API shows its address.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.Log = newLogger(level)
			return a.Run(cmd.Context())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&a.Kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	fl.StringVar(&a.NodeName, "hostname-override", "", "`name` of the node (default: the host name)")
	fl.StringVar(&a.Bridge, "bridge", "", "`name` of the bridge that pods hang on, over which link-local addresses lead past policies (default: none)")
	fl.BoolVar(&a.Cleanup, "cleanup", false, "remove the rules and end")
	fl.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.MarkFlagsOneRequired("kubeconfig", "cleanup")
	return cmd
}
