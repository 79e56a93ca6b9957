package parts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"proa/pki"
)

// Config says of what and where a cluster is.
type Config struct {
	Makers Makers
	// Dir is kept by the caller, who removes it. Short, for the sockets below it:
	//
	//	api/pki        certificates and keys, as Proa lays them out
	//	*.kubeconfig   one identity each
	//	etcd, kubelet  the store, and the node's files
	//	*.log          what the parts say
	Dir string
	// Proa and Upstream are the folders of the programs. Without Upstream the
	// store is embedded in Proa's API server, and otherwise an etcd of its own.
	Proa, Upstream string
	// Node is the name of the node, Address that of this machine.
	Node, Address string
	// ServiceCIDR is the range of services, APIService the API server's address
	// in it, DNS that of the cluster's resolver. ClusterCIDR is the range of all
	// pods.
	ServiceCIDR, APIService, DNS, ClusterCIDR string
	// Shift is added to every port that a part listens on, but the proxy's.
	Shift int
	// Runtime is the socket of the container runtime, and CgroupRoot the cgroup
	// below which pods run. They are known before the kubelet starts.
	Runtime, CgroupRoot string
	// Started is told every process, if it is not nil.
	Started func(*Process) error
}

// Cluster is a set of parts at work. It is not safe for concurrent use.
type Cluster struct {
	Config
	running []*Process
}

// Ports of the parts, to which Shift is added. The service proxy keeps its own.
const (
	apiPort           = 6443
	etcdPort          = 2379
	etcdPeerPort      = 2380
	kubeletPort       = 10250
	kubeletHealthPort = 10248
	controllersPort   = 10257
	schedulerPort     = 10259
)

const loopback = "127.0.0.1"

// Identities, each with a kubeconfig.
const (
	adminIdentity       = "admin"
	controllersIdentity = "controllers"
	schedulerIdentity   = "scheduler"
	kubeletIdentity     = "kubelet"
	proxyIdentity       = "proxy"
)

// New makes certificates and kubeconfigs, and starts nothing.
func New(config Config) (*Cluster, error) {
	c := &Cluster{Config: config}
	authority, err := pki.Open(c.path("api", "pki"), clock.RealClock{})
	if err != nil {
		return nil, err
	}
	for name, spec := range map[string]pki.Spec{
		adminIdentity: pki.Admin(), controllersIdentity: pki.ControllerManager(), schedulerIdentity: pki.Scheduler(),
		kubeletIdentity: pki.Node(c.Node), proxyIdentity: pki.Proxy(),
	} {
		leaf, err := authority.Leaf(spec)
		if err != nil {
			return nil, err
		}
		if err := leaf.Kubeconfig("parts", c.url()).Write(c.Kubeconfig(name)); err != nil {
			return nil, err
		}
	}
	for _, spec := range []pki.Spec{
		pki.APIServer(c.APIService, c.Address), pki.KubeletClient(), pki.FrontProxyClient(), pki.NodeServer(c.Node, c.Address),
	} {
		if _, err := authority.Leaf(spec); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// pki is the path of a file of the PKI.
func (c *Cluster) pki(file string) string { return c.path("api", "pki", file) }

// Kubeconfig is the file of an identity.
func (c *Cluster) Kubeconfig(name string) string { return c.path(name + ".kubeconfig") }

// Admin is the kubeconfig of the administrator.
func (c *Cluster) Admin() string { return c.Kubeconfig(adminIdentity) }

// url by which this machine reaches the API server.
func (c *Cluster) url() string { return fmt.Sprintf("https://%s:%d", loopback, apiPort+c.Shift) }

// etcdURL is where the store listens.
func (c *Cluster) etcdURL() string { return fmt.Sprintf("http://%s:%d", loopback, etcdPort+c.Shift) }

// Running are the parts that were started and not stopped.
func (c *Cluster) Running() []*Process { return c.running }

// Start runs a part.
func (c *Cluster) Start(p Part) (*Process, error) {
	m := c.Makers[p]
	program, args, err := c.command(p, m)
	if err != nil {
		return nil, err
	}
	return c.Run(string(m)+"-"+strings.ReplaceAll(string(p), " ", "-"), program, args...)
}

// Run runs another program as a part of the cluster.
func (c *Cluster) Run(name, program string, args ...string) (*Process, error) {
	p, err := Run(c.Dir, name, program, args...)
	if err != nil {
		return nil, err
	}
	c.running = append(c.running, p)
	if c.Started != nil {
		return p, c.Started(p)
	}
	return p, nil
}

// StartAPI starts the store and the API server, and returns when it answers.
func (c *Cluster) StartAPI(ctx context.Context) error {
	if c.external() {
		if err := c.startEtcd(ctx); err != nil {
			return err
		}
	}
	return c.StartServer(ctx)
}

// StartServer starts the API server over the store that there is, and returns
// when it answers.
func (c *Cluster) StartServer(ctx context.Context) error {
	if _, err := c.Start(APIServer); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Admin())
	if err != nil {
		return err
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return Until(ctx, "the API server", c.running, func(ctx context.Context) error {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
}

// Stop ends a part, or all of them in the reverse order where none is named.
func (c *Cluster) Stop(only ...*Process) error {
	if len(only) == 0 {
		only = slices.Clone(c.running)
	}
	slices.Reverse(only)
	var errs []error
	for _, p := range only {
		errs = append(errs, p.Stop())
		c.running = slices.DeleteFunc(c.running, func(r *Process) bool { return r == p })
	}
	return errors.Join(errs...)
}

// external says whether the store is an etcd of its own.
func (c *Cluster) external() bool { return c.Upstream != "" }

// startEtcd runs a store that both API servers use over the network.
func (c *Cluster) startEtcd(ctx context.Context) error {
	peers := fmt.Sprintf("http://%s:%d", loopback, etcdPeerPort+c.Shift)
	p, err := c.Run("etcd", filepath.Join(c.Upstream, "etcd"),
		"--data-dir", c.path("etcd"), "--listen-client-urls", c.etcdURL(), "--advertise-client-urls", c.etcdURL(),
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers,
		"--log-level", "warn")
	if err != nil {
		return err
	}
	return Until(ctx, "etcd", []*Process{p}, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.etcdURL()+"/health", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("etcd answers %s", res.Status)
		}
		return nil
	})
}
