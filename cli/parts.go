package cli

import (
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
			return cluster.RunAPIServer(cmd.Context(), c, nil, newLogger(c.LogLevel))
		},
	}
	f.addServer(cmd)
	return cmd
}

// aloneFlags are those of parts of which several may stand by.
func aloneFlags(cmd *cobra.Command, a *cluster.Alone, level *string, port int) {
	fl := cmd.Flags()
	fl.StringVar(&a.Kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	fl.BoolVar(&a.LeaderElect, "leader-elect", true, "work only while holding the lease in kube-system, so that several can stand by")
	fl.StringVar(&a.BindAddress, "bind-address", "0.0.0.0", "`address` of health and metrics")
	fl.IntVar(&a.Port, "secure-port", port, "`port` of health and metrics, 0 for none")
	fl.StringVar(level, "log-level", "info", "debug, info, warn or error")
	if err := cmd.MarkFlagRequired("kubeconfig"); err != nil {
		panic(err) // the flag was defined above
	}
}

func newControllerManager() *cobra.Command {
	var a cluster.ControllersAlone
	var level string
	cmd := &cobra.Command{
		Use: "controller-manager", GroupID: "parts", Args: cobra.NoArgs, Short: "Run the controllers alone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.Log = newLogger(level)
			return a.Run(cmd.Context())
		},
	}
	aloneFlags(cmd, &a.Alone, &level, cluster.ControllersPort)
	fl := cmd.Flags()
	fl.StringVar(&a.RootCAFile, "root-ca-file", "", "`file` with the authorities that pods verify the API server by (default: the kubeconfig's)")
	fl.StringVar(&a.SigningCertFile, "cluster-signing-cert-file", "", "`file` with the authority that signs requests for certificates (default: none does)")
	fl.StringSliceVar(&a.ClusterCIDRs, "cluster-cidr", nil, "address `ranges` of all pods, of which nodes are given theirs (default: none are given)")
	fl.DurationVar(&a.NodeMonitorGracePeriod, "node-monitor-grace-period", 0, "how `long` a node may be silent before it counts as lost (default 50s)")
	fl.StringVar(&a.SigningKeyFile, "cluster-signing-key-file", "", "`file` with its key")
	return cmd
}

func newScheduler() *cobra.Command {
	var a cluster.SchedulerAlone
	var level string
	cmd := &cobra.Command{
		Use: "scheduler", GroupID: "parts", Args: cobra.NoArgs, Short: "Run the scheduler alone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.Log = newLogger(level)
			return a.Run(cmd.Context())
		},
	}
	aloneFlags(cmd, &a.Alone, &level, cluster.SchedulerPort)
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
	fl.StringVar(&c.PushSocket, "push-socket", "", "unix `socket` on which pod manifests can be pushed (default: none)")
	fl.StringVar(&c.Root, "root-dir", "", "`directory` of pods, volumes and plugins (default /var/lib/kubelet)")
	fl.StringToStringVar(&c.NodeLabels, "node-labels", nil, "`labels` of the node")
	fl.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func newAgent() *cobra.Command {
	var f clusterFlags
	var kubeconfig string
	var notify notifyFlag
	cmd := &cobra.Command{
		Use: "agent", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run a node with its own container runtime, for a cluster elsewhere",
		Long: `Run a node with its own container runtime, for a cluster elsewhere.

The kubeconfig must be that of the node: a client certificate of the user
system:node:NAME in the group system:nodes. The agent renews it in time, if the
cluster approves and signs requests of nodes.

A node may read neither other nodes nor the endpoints of services. For routes to
the pods of other nodes and for cluster IPs it needs a second identity that may,
such as the one of kube-proxy (a file proxy.kubeconfig lies beside a Proa
server's data): give it with --network-kubeconfig. Without it, pods of this node
reach each other and what is outside of the cluster, but no services, and no
network policies are enforced; with --cni none, --network-policy none and a
proxy of another make none of it is missed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := notify.open()
			defer n.close()
			c, err := f.load(cmd)
			if err == nil {
				err = cluster.RunAgent(cmd.Context(), c, kubeconfig, n.Notifier, newLogger(c.LogLevel))
			}
			return n.failed(err)
		},
	}
	f.addServer(cmd)
	notify.add(cmd)
	cmd.Flags().StringVar(&f.config.Network.Kubeconfig, "network-kubeconfig", "", "`file` by which nodes and endpoints are followed, for routes and services (default: none)")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	if err := cmd.MarkFlagRequired("kubeconfig"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}
