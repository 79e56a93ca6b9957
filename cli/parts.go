package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"proa/cluster"
	"proa/node"
)

// The long-running parts, each alone. All but the API server take a kubeconfig
// and work with any API server, upstream's too.

func newAPIServer() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use: "apiserver", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run an API server alone, over an embedded or an external etcd",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			return cluster.RunAPIServer(cmd.Context(), c, newLogger(c.LogLevel))
		},
	}
	f.addServer(cmd)
	return cmd
}

// remoteFlags are those of parts that use an API server.
type remoteFlags struct{ kubeconfig, level string }

func (f *remoteFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	cmd.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	if err := cmd.MarkFlagRequired("kubeconfig"); err != nil {
		panic(err) // the flag was defined above
	}
}

func newControllerManager() *cobra.Command {
	var f remoteFlags
	var ca string
	cmd := &cobra.Command{
		Use: "controller-manager", GroupID: "parts", Args: cobra.NoArgs, Short: "Run the controllers alone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var bundle []byte
			if ca != "" {
				var err error
				if bundle, err = os.ReadFile(ca); err != nil {
					return fmt.Errorf("root certificate authority: %w", err)
				}
			}
			return cluster.RunControllers(cmd.Context(), f.kubeconfig, bundle, newLogger(f.level))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&ca, "root-ca-file", "", "`file` with the authorities that pods verify the API server by (default: the kubeconfig's)")
	return cmd
}

func newScheduler() *cobra.Command {
	var f remoteFlags
	cmd := &cobra.Command{
		Use: "scheduler", GroupID: "parts", Args: cobra.NoArgs, Short: "Run the scheduler alone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cluster.RunScheduler(cmd.Context(), f.kubeconfig, newLogger(f.level))
		},
	}
	f.add(cmd)
	return cmd
}

func newKubelet() *cobra.Command {
	var c node.Config
	var kubeconfig, file, level, ip, endpoint string
	cmd := &cobra.Command{
		Use: "kubelet", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run a node agent alone, on a container runtime that is there already",
		Long:  "Run a node agent alone, on a container runtime that is there already.\nWithout --kubeconfig it runs the pods of its static folder only.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				var err error
				if c.Kubelet, err = node.LoadKubelet(file); err != nil {
					return err
				}
			}
			if endpoint != "" {
				c.Kubelet.ContainerRuntimeEndpoint = endpoint
			}
			if ip != "" {
				c.NodeIPs = []string{ip}
			}
			c.Log = newLogger(level)
			return cluster.RunKubelet(cmd.Context(), kubeconfig, c)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	fl.StringVar(&file, "config", "", "`file` with a KubeletConfiguration")
	fl.StringVar(&endpoint, "container-runtime-endpoint", "", "`socket` of the container runtime")
	fl.StringVar(&c.NodeName, "hostname-override", "", "`name` of the node (default: the host name)")
	fl.StringVar(&ip, "node-ip", "", "`address` of the node (default: found)")
	fl.StringVar(&c.Root, "root-dir", "", "`directory` of pods, volumes and plugins (default /var/lib/kubelet)")
	fl.StringToStringVar(&c.NodeLabels, "node-labels", nil, "`labels` of the node")
	fl.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func newAgent() *cobra.Command {
	var f clusterFlags
	var kubeconfig string
	cmd := &cobra.Command{
		Use: "agent", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run a node with its own container runtime, for a cluster elsewhere",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			return cluster.RunAgent(cmd.Context(), c, kubeconfig, newLogger(c.LogLevel))
		},
	}
	f.addServer(cmd)
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	if err := cmd.MarkFlagRequired("kubeconfig"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}
