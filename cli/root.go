// Package cli is the command line of proa: one file per command, each a thin
// translation of flags into a call of the package that does the work.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"proa/cluster"
	"proa/version"
)

// Main runs the command line and returns the exit status.
func Main(args []string) int {
	if filepath.Base(args[0]) == "kubectl" {
		return kubectl(args)
	}
	if len(args) > 1 && args[1] == "kubectl" {
		return kubectl(append([]string{"kubectl"}, args[2:]...))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args[1:])
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, oneLine(err))
		return 1
	}
	return 0
}

// oneLine is an error in one line, however many things are wrong.
func oneLine(err error) string {
	return "proa: " + strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "proa",
		Short:         "Kubernetes in one binary",
		Long:          "Proa is Kubernetes " + version.Kubernetes + " in one binary: the same API and the same ecosystem.\nStart a cluster on this machine with \"proa up\".",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddGroup(
		&cobra.Group{ID: "local", Title: "A cluster on this machine:"},
		&cobra.Group{ID: "parts", Title: "Long-running parts:"},
	)
	root.AddCommand(
		newUp(), newDown(), newStatus(), newNode(),
		newServer(), newAgent(), newAPIServer(), newControllerManager(), newScheduler(), newKubelet(), newProxy(), newNetworkPolicy(), newHollow(),

		newImage(), newVersion(),
		newKubectl(),
	)
	return root
}

// clusterFlags are those by which every command finds its cluster.
type clusterFlags struct {
	file   string
	config cluster.Config
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "config", "", "configuration `file` (default "+cluster.DefaultConfigFile+" where it exists)")
	cmd.Flags().StringVar(&f.config.DataDir, "data-dir", "", "`directory` that holds all that the cluster keeps (default /var/lib/proa)")
}

// addServer adds the flags of commands that start a cluster.
func (f *clusterFlags) addServer(cmd *cobra.Command) {
	f.add(cmd)
	fl := cmd.Flags()
	c := &f.config
	fl.StringVar(&c.LogLevel, "log-level", "", "debug, info, warn or error (default info)")
	fl.StringVar(&c.API.BindAddress, "bind-address", "", "`address` the API server listens on (default 0.0.0.0)")
	c.API.Port = intFlag(cmd, "port", "`port` of the API server, 0 for any free one (default 6443)")
	fl.StringVar(&c.API.AdvertiseAddress, "advertise-address", "", "`address` under which others reach the API server (default the node's)")
	fl.StringSliceVar(&c.API.Names, "tls-san", nil, "further `names` and addresses for the serving certificate")
	boolFlag(cmd, &c.API.Profiling, "profiling", "serve /debug/pprof to those who are authorized for it (default true)")
	fl.StringVar(&c.API.Encryption.ConfigFile, "encryption-provider-config", "", "`file` with the EncryptionConfiguration of the store (default DATA-DIR/encryption.yaml, made for a new cluster)")
	boolFlag(cmd, &c.API.Encryption.AutomaticReload, "encryption-provider-config-automatic-reload", "follow changes of the file of --encryption-provider-config (default false; true for the file of the data directory)")
	addAuth(cmd, &c.API)
	fl.StringVar(&c.API.Audit.PolicyFile, "audit-policy-file", "", "`file` with the policy of what is logged of requests (default: nothing is)")
	fl.StringVar(&c.API.Audit.LogPath, "audit-log-path", "", "`file` that requests are logged to, - for the standard output")
	fl.IntVar(&c.API.Audit.LogMaxSize, "audit-log-maxsize", 0, "`megabytes` of an audit log before it is rotated (default 100)")
	fl.IntVar(&c.API.Audit.LogMaxBackup, "audit-log-maxbackup", 0, "`number` of rotated audit logs that are kept (default 10)")
	fl.IntVar(&c.API.Audit.LogMaxAge, "audit-log-maxage", 0, "`days` that rotated audit logs are kept (default: any number)")
	fl.StringVar(&c.API.Audit.WebhookConfigFile, "audit-webhook-config-file", "", "kubeconfig `file` of a server that requests are reported to")
	fl.StringSliceVar(&c.Etcd.Servers, "etcd-servers", nil, "`URLs` of an external etcd (default: one in the process)")
	fl.StringVar(&c.Etcd.CAFile, "etcd-cafile", "", "`file` with the certificate authority of the external etcd")
	fl.StringVar(&c.Etcd.CertFile, "etcd-certfile", "", "client certificate `file` for the external etcd")
	fl.StringVar(&c.Etcd.KeyFile, "etcd-keyfile", "", "client key `file` for the external etcd")
	fl.DurationVar(&c.Controllers.NodeMonitorGracePeriod.Duration, "node-monitor-grace-period", 0, "how `long` a node may be silent before it counts as lost (default 50s)")
	fl.StringVar(&c.Network.PodCIDR, "pod-cidr", "", "address `range` of all pods; every node has a /24 of it (default 10.42.0.0/16)")
	fl.IntVar(&c.Nodes, "nodes", 0, "`number` of nodes to divide this machine into, each in a network namespace of its own (default: the machine is the node)")
	fl.StringVar(&c.Network.NodeCIDR, "node-cidr", "", "address `range` of the nodes that this machine is divided into (default 10.44.0.0/24)")
	fl.StringVar(&c.Network.ServiceCIDR, "service-cidr", "", "address `range` of services (default 10.43.0.0/16)")
	fl.StringVar(&c.Network.ClusterDomain, "cluster-domain", "", "DNS `domain` of the cluster (default cluster.local)")
	fl.StringVar(&c.Network.LoadBalancer, "load-balancer", "", "what services of type LoadBalancer get: addresses of nodes, or none to bring another controller (default nodes)")
	fl.StringVar(&c.Network.Ingress.Mode, "ingress", "", "who serves Ingresses: nodes, for those of the class proa, or none to bring another controller (default nodes)")
	fl.StringVar(&c.Network.Ingress.Address, "ingress-address", "", "`address` to serve Ingresses on (default: all of the node)")
	c.Network.Ingress.HTTPPort = intFlag(cmd, "ingress-http-port", "`port` to serve Ingresses on, -1 for none (default 80)")
	c.Network.Ingress.HTTPSPort = intFlag(cmd, "ingress-https-port", "`port` to serve Ingresses on in TLS, -1 for none (default 443)")
	fl.StringVar(&c.Network.Ingress.DefaultCertificate, "ingress-default-certificate", "", "`secret`, as NAMESPACE/NAME, with the certificate of hosts that have none (default: one that nobody trusts)")
	fl.StringVar(&c.Network.Policy, "network-policy", "", "what enforces network policies: nftables, or none to leave them to another pod network (default nftables)")
	fl.StringVar(&c.Network.CNI, "cni", "", "pod network: bridge, or none to bring another (default bridge)")
	fl.StringVar(&c.Network.Bridge, "bridge", "", "`name` of the bridge that pods hang on (default proa0)")
	fl.StringVar(&c.Node.Name, "node-name", "", "`name` of the node (default the host name)")
	fl.StringVar(&c.Node.Address, "node-ip", "", "`address` of the node (default: found)")
	fl.StringVar(&c.Node.Root, "node-root", "", "`directory` of pods, volumes and plugins (default DATA-DIR/kubelet)")
	fl.StringVar(&c.Node.RuntimeEndpoint, "container-runtime-endpoint", "", "`socket` of another CRI runtime (default: the embedded containerd)")
	fl.StringVar(&c.Node.RegistryDir, "registry-dir", "", "`directory` of hosts.toml files, by registry, as containerd reads them (default /etc/proa/certs.d)")
	fl.StringVar(&c.Node.CgroupRoot, "cgroup-root", "", "`cgroup` below which all pods run (default /)")
	fl.StringToStringVar(&c.Node.Labels, "node-labels", nil, "`labels` of the node")
	c.Node.Port = intFlag(cmd, "kubelet-port", "`port` of the node's API, 0 for any free one (default 10250)")
	c.Node.HealthPort = intFlag(cmd, "healthz-port", "`port` of the node's health endpoint on loopback (default 10248)")
	fl.IntVar(&c.HollowNodes, "hollow-nodes", 0, "`number` of further nodes that keep the node's side of the API but run no containers")
	fl.BoolVar(&c.Node.Disabled, "disable-agent", false, "run no node on this machine")
}

// boolFlag is a flag that may be left out.
func boolFlag(cmd *cobra.Command, to **bool, name, usage string) {
	cmd.Flags().BoolFunc(name, usage, func(s string) error {
		yes, err := strconv.ParseBool(s)
		*to = &yes
		return err
	})
}

// unsetInt stands for a flag that was not given.
const unsetInt = -1 << 31

func intFlag(cmd *cobra.Command, name, usage string) *int {
	v := unsetInt
	cmd.Flags().IntVar(&v, name, unsetInt, usage)
	cmd.Flags().Lookup(name).DefValue = ""
	return &v
}

// load reads the file and lays the flags over it.
func (f *clusterFlags) load(cmd *cobra.Command) (*cluster.Config, error) {
	c, err := cluster.LoadConfig(f.file)
	if err != nil {
		return nil, err
	}
	c.Overlay(&f.config, unsetInt)
	if err := c.Complete(); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("the configuration is not valid: %w", err)
	}
	return c, nil
}
