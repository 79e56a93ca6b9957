package cli

import (
	"github.com/spf13/cobra"

	"proa/cluster"
)

func newProxy() *cobra.Command {
	var a cluster.ProxyAlone
	var level string
	cmd := &cobra.Command{
		Use: "proxy", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run a service proxy alone, for a cluster elsewhere",
		Long:  "Run a service proxy alone, for a cluster elsewhere.\nThe rules stay when it ends; --cleanup removes them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.Log = newLogger(level)
			return a.Run(cmd.Context())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&a.Kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	fl.StringVar(&a.NodeName, "hostname-override", "", "`name` of the node (default: the host name)")
	fl.StringSliceVar(&a.ClusterCIDRs, "cluster-cidr", nil, "address `ranges` of pods; others are masqueraded when they use a cluster IP")
	fl.StringVar(&a.HealthAddress, "healthz-bind-address", "0.0.0.0", "`address` of health checks")
	fl.IntVar(&a.HealthPort, "healthz-port", cluster.ProxyHealthPort, "`port` of health checks, 0 for none")
	fl.StringVar(&a.MetricsAddress, "metrics-bind-address", "127.0.0.1", "`address` of metrics")
	fl.IntVar(&a.MetricsPort, "metrics-port", cluster.ProxyMetricsPort, "`port` of metrics, 0 for none")
	fl.BoolVar(&a.Cleanup, "cleanup", false, "remove the rules and end")
	fl.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.MarkFlagsOneRequired("kubeconfig", "cleanup")
	return cmd
}
