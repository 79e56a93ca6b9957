package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"proa/controller/nodelifecycle"
	"proa/node/hollow"
)

// DefaultConfigFile is read when no other is named and it exists.
const DefaultConfigFile = "/etc/proa/config.yaml"

// maxNodes bounds the nodes of one machine.
const maxNodes = 100

// leastGracePeriod leaves a node time to renew its lease a few times.
const leastGracePeriod = 5 * time.Second

// Config describes one cluster on one machine. It is read from a YAML file,
// changed by flags, completed by Complete, checked by Validate, and then never
// changed.
type Config struct {
	// DataDir holds all that the cluster keeps. Default /var/lib/proa.
	DataDir string `json:"dataDir,omitempty"`
	// RunDir holds sockets and what a boot may lose. Default /run/proa, or
	// below DataDir where that is not the default.
	RunDir string `json:"runDir,omitempty"`
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel string `json:"logLevel,omitempty"`

	// Nodes is how many nodes of their own network namespace this machine is
	// divided into. 0: the machine itself is the one node.
	Nodes int `json:"nodes,omitempty"`

	API         API                `json:"api,omitempty"`
	Etcd        Etcd               `json:"etcd,omitempty"`
	Controllers ControllerSettings `json:"controllers,omitempty"`
	Network     Network            `json:"network,omitempty"`
	Node        Node               `json:"node,omitempty"`
	// HollowNodes is how many nodes there are beside this one that run no
	// containers; see package node/hollow.
	HollowNodes int `json:"hollowNodes,omitempty"`
}

// API is where and how the API server listens.
type API struct {
	// BindAddress to listen on. Default 0.0.0.0; every request but those for
	// health must authenticate.
	BindAddress string `json:"bindAddress,omitempty"`
	// Port to listen on, 0 for any free one. Default 6443.
	Port *int `json:"port,omitempty"`
	// AdvertiseAddress is how others reach the server. Default: the node's.
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`
	// Names are further DNS names and addresses for the serving certificate.
	Names []string `json:"names,omitempty"`
	// Profiling serves /debug/pprof to those who are authorized for it.
	// Default true.
	Profiling *bool `json:"profiling,omitempty"`
	// Audit logs who asks for what.
	Audit Audit `json:"audit,omitempty"`
	// Authentication says who is let in beside the cluster's own.
	Authentication Authentication `json:"authentication,omitempty"`
	// Authorization says who decides what a caller may do.
	Authorization Authorization `json:"authorization,omitempty"`
	// Encryption of what is kept in the store.
	Encryption Encryption `json:"encryption,omitempty"`
}

// Encryption says how objects are encrypted in the store.
type Encryption struct {
	// ConfigFile is an EncryptionConfiguration of apiserver.config.k8s.io/v1.
	// Default DataDir/encryption.yaml, which a new cluster with an etcd of its own
	// makes, with a key for its Secrets; where that file is not there, nothing is
	// encrypted.
	ConfigFile string `json:"configFile,omitempty"`
	// AutomaticReload follows changes of the file. Default true for the file that
	// the cluster made, else false.
	AutomaticReload *bool `json:"automaticReload,omitempty"`
}

// Audit is what is logged of requests, and where to. Nothing is without a
// policy.
type Audit struct {
	// PolicyFile is an audit.k8s.io/v1 Policy.
	PolicyFile string `json:"policyFile,omitempty"`
	// LogPath is a file of JSON lines; "-" is the standard output.
	LogPath string `json:"logPath,omitempty"`
	// LogMaxSize in megabytes of the file before it is rotated. Default 100.
	LogMaxSize int `json:"logMaxSize,omitempty"`
	// LogMaxBackup is how many rotated files are kept. Default 10.
	LogMaxBackup int `json:"logMaxBackup,omitempty"`
	// LogMaxAge in days of a rotated file. Default: any.
	LogMaxAge int `json:"logMaxAge,omitempty"`
	// WebhookConfigFile is a kubeconfig of a server to which events are posted.
	WebhookConfigFile string `json:"webhookConfigFile,omitempty"`
}

// Etcd chooses the store.
type Etcd struct {
	// Servers are the endpoints of an external etcd. Empty: embedded.
	Servers  []string `json:"servers,omitempty"`
	CAFile   string   `json:"caFile,omitempty"`
	CertFile string   `json:"certFile,omitempty"`
	KeyFile  string   `json:"keyFile,omitempty"`
}

// ControllerSettings are what the controllers go by.
type ControllerSettings struct {
	// NodeMonitorGracePeriod is how long a node may be silent before it counts as
	// lost. The nodes that are started with this configuration speak at a fifth
	// of it. Default 50s.
	NodeMonitorGracePeriod metav1.Duration `json:"nodeMonitorGracePeriod,omitzero"`
}

// leaseShare is what the lease of a node lasts of the time that it may be silent,
// and leaseLeast the shortest lease, in seconds.
const (
	leaseShare = 0.8
	leaseLeast = 4
)

// leaseSeconds is how long the lease of a node lasts, of which it is renewed at a
// quarter.
func (c *Config) leaseSeconds() int32 {
	return max(leaseLeast, int32(leaseShare*c.Controllers.NodeMonitorGracePeriod.Seconds()))
}

// Network is the addressing of the cluster.
type Network struct {
	// PodCIDR for the pods of all nodes; each node is given a /24 of it (IPv6:
	// a /64), or the whole where it is not larger. Default 10.42.0.0/16.
	PodCIDR string `json:"podCIDR,omitempty"`
	// NodeCIDR for the nodes of this machine, where Nodes makes them, and the
	// gateway that they share. Default 10.44.0.0/24.
	NodeCIDR string `json:"nodeCIDR,omitempty"`
	// ServiceCIDR for cluster IPs. Default 10.43.0.0/16.
	ServiceCIDR string `json:"serviceCIDR,omitempty"`
	// ClusterDNS is the name server of pods. Default the tenth address of
	// ServiceCIDR.
	ClusterDNS string `json:"clusterDNS,omitempty"`
	// ClusterDomain of service names. Default cluster.local.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// CNI is "bridge" (default) or "none", where another plugin writes its
	// configuration into CNIConfDir.
	CNI string `json:"cni,omitempty"`
	// LoadBalancer is "nodes" (default): services of type LoadBalancer get addresses
	// of nodes; or "none", where another controller provides for them.
	LoadBalancer string `json:"loadBalancer,omitempty"`
	// Ingress is how Ingresses are served.
	Ingress Ingress `json:"ingress,omitzero"`
	// Policy is "nftables" (default), which enforces network policies; or "none",
	// where another does, such as the plugin that brings the pod network.
	Policy     string `json:"policy,omitempty"`
	CNIConfDir string `json:"cniConfDir,omitempty"`
	// Kubeconfig by which a node without a control plane follows the others,
	// for routes to their pods. Without one it makes none.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Bridge is the interface that pods hang on, and in the namespace around
	// the nodes of this machine the one that those hang on. Default proa0.
	Bridge string `json:"bridge,omitempty"`
}

// Ingress is how Ingresses of the class proa are served on the nodes of servers.
type Ingress struct {
	// Mode is "nodes" (default): a node that runs a server listens while there is an
	// Ingress of the class; or "none": there is no such class.
	Mode string `json:"mode,omitempty"`
	// Address to listen on. Default: all addresses of the node.
	Address string `json:"address,omitempty"`
	// HTTPPort and HTTPSPort to listen on, 0 for any free one, which the node then
	// says in an annotation, -1 for none. Default 80 and 443.
	HTTPPort  *int `json:"httpPort,omitempty"`
	HTTPSPort *int `json:"httpsPort,omitempty"`
	// DefaultCertificate is the Secret, as NAMESPACE/NAME, with the certificate of
	// hosts that have none. Default: one that nobody trusts.
	DefaultCertificate string `json:"defaultCertificate,omitempty"`
}

// Node is the node agent of this machine.
type Node struct {
	// Disabled runs a server without a node.
	Disabled bool `json:"disabled,omitempty"`
	// Name of the node. Default: the host name in lower case.
	Name string `json:"name,omitempty"`
	// Address of the node. Default: that of the interface with the default
	// route, else the first global one, else that of the bridge.
	Address string `json:"address,omitempty"`
	// Root is where pods, volumes and plugin sockets lie. Default
	// DataDir/kubelet.
	Root string `json:"root,omitempty"`
	// LogDir holds the logs of containers. Default DataDir/log/pods.
	LogDir string `json:"logDir,omitempty"`
	// StaticPodDir is a folder of pod manifests. Default DataDir/manifests.
	StaticPodDir string `json:"staticPodDir,omitempty"`
	// Port of the node's API, 0 for any free one. Default 10250.
	Port *int `json:"port,omitempty"`
	// HealthPort on loopback, without authentication. Default 10248; 0 for
	// any free one, -1 for none.
	HealthPort *int `json:"healthPort,omitempty"`
	// RuntimeEndpoint of a CRI runtime, such as
	// unix:///run/crio/crio.sock. Default: the embedded containerd.
	RuntimeEndpoint string `json:"runtimeEndpoint,omitempty"`
	// RegistryDir holds a folder with a hosts.toml, as containerd reads it, for
	// each registry that is reached otherwise than by its name: through a mirror,
	// or with a certificate authority of its own. The embedded runtime looks
	// there at every pull. Default /etc/proa/certs.d, which need not exist.
	RegistryDir string            `json:"registryDir,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Taints      []string          `json:"taints,omitempty"`
	MaxPods     int32             `json:"maxPods,omitempty"`
	// CgroupRoot is the cgroup below which all pods run. Default /kubepods's
	// parent, "/".
	CgroupRoot string `json:"cgroupRoot,omitempty"`
	// PushSocket is a unix socket on which pod manifests can be pushed
	// (proa/node/source). Default: none.
	PushSocket string `json:"pushSocket,omitempty"`
	// Kubelet holds further settings of the agent, in the form and with the
	// defaults of upstream's KubeletConfiguration. What has a setting here has
	// none there.
	Kubelet kubeletconfig.KubeletConfiguration `json:"kubelet,omitzero"`
}

// LoadConfig reads a file. With an empty path it reads DefaultConfigFile where
// that exists. Unknown fields are errors.
func LoadConfig(path string) (*Config, error) {
	c := &Config{}
	optional := path == ""
	if optional {
		path = DefaultConfigFile
	}
	data, err := os.ReadFile(path)
	if optional && errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Complete fills in defaults.
func (c *Config) Complete() error {
	const dataDir, runDir = "/var/lib/proa", "/run/proa"
	if c.DataDir == "" {
		c.DataDir = dataDir
	}
	abs, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	c.DataDir = abs
	if c.RunDir == "" {
		c.RunDir = runDir
		if c.DataDir != dataDir {
			c.RunDir = filepath.Join(c.DataDir, "run")
		}
	}
	set(&c.LogLevel, "info")
	set(&c.API.BindAddress, "0.0.0.0")
	setPort(&c.API.Port, 6443)
	if c.API.Profiling == nil {
		c.API.Profiling = ptr.To(true)
	}
	if c.Controllers.NodeMonitorGracePeriod.Duration == 0 {
		c.Controllers.NodeMonitorGracePeriod.Duration = nodelifecycle.DefaultGracePeriod
	}
	set(&c.Network.PodCIDR, "10.42.0.0/16")
	set(&c.Network.NodeCIDR, "10.44.0.0/24")
	set(&c.Network.ServiceCIDR, "10.43.0.0/16")
	set(&c.Network.ClusterDomain, "cluster.local")
	set(&c.Network.CNI, "bridge")
	set(&c.Network.LoadBalancer, "nodes")
	set(&c.Network.Ingress.Mode, "nodes")
	setPort(&c.Network.Ingress.HTTPPort, 80)
	setPort(&c.Network.Ingress.HTTPSPort, 443)
	set(&c.Network.Policy, "nftables")
	set(&c.Network.Bridge, "proa0")
	set(&c.Network.CNIConfDir, filepath.Join(c.DataDir, "cni", "net.d"))
	if p, err := netip.ParsePrefix(c.Network.ServiceCIDR); err == nil && c.Network.ClusterDNS == "" {
		a := p.Masked().Addr()
		for range 10 {
			a = a.Next()
		}
		c.Network.ClusterDNS = a.String()
	}
	if c.Node.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("the machine has no host name; give the node one with --node-name: %w", err)
		}
		c.Node.Name = strings.ToLower(host)
	}
	set(&c.Node.Root, filepath.Join(c.DataDir, "kubelet"))
	set(&c.Node.LogDir, filepath.Join(c.DataDir, "log", "pods"))
	set(&c.Node.StaticPodDir, filepath.Join(c.DataDir, "manifests"))
	setPort(&c.Node.Port, 10250)
	setPort(&c.Node.HealthPort, 10248)
	set(&c.Node.CgroupRoot, "/")
	set(&c.Node.RegistryDir, "/etc/proa/certs.d")
	if c.Node.MaxPods == 0 {
		c.Node.MaxPods = 110
	}
	return nil
}

// Validate reports everything that is wrong, in the words of the file.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, value, why string) {
		errs = append(errs, fmt.Errorf("%s: %q: %s", field, value, why))
	}
	for field, v := range map[string]string{
		"network.podCIDR": c.Network.PodCIDR, "network.serviceCIDR": c.Network.ServiceCIDR, "network.nodeCIDR": c.Network.NodeCIDR,
	} {
		if _, err := netip.ParsePrefix(v); err != nil {
			bad(field, v, "must be an address range such as 10.42.0.0/16")
		}
	}
	for field, v := range map[string]string{
		"api.bindAddress": c.API.BindAddress, "api.advertiseAddress": c.API.AdvertiseAddress,
		"network.clusterDNS": c.Network.ClusterDNS, "network.ingress.address": c.Network.Ingress.Address, "node.address": c.Node.Address,
	} {
		if _, err := netip.ParseAddr(v); v != "" && err != nil {
			bad(field, v, "must be an IP address")
		}
	}
	if p, err := netip.ParsePrefix(c.Network.NodeCIDR); err == nil && !p.Addr().Is4() {
		bad("network.nodeCIDR", c.Network.NodeCIDR, "must be a range of IPv4")
	}
	if c.Nodes < 0 || c.Nodes > maxNodes {
		bad("nodes", fmt.Sprint(c.Nodes), fmt.Sprintf("must be between 0 and %d", maxNodes))
	}
	if g := c.Controllers.NodeMonitorGracePeriod; g.Duration < leastGracePeriod {
		bad("controllers.nodeMonitorGracePeriod", g.Duration.String(), fmt.Sprintf("must be %v at least", leastGracePeriod))
	}
	for field, instead := range c.Node.overridden() {
		bad("node.kubelet."+field, "", "is "+instead+" here")
	}
	for _, msg := range validation.IsDNS1123Subdomain(c.Node.Name) {
		bad("node.name", c.Node.Name, msg)
	}
	if c.Network.CNI != "bridge" && c.Network.CNI != "none" {
		bad("network.cni", c.Network.CNI, `must be "bridge" or "none"`)
	}
	if c.Network.LoadBalancer != "nodes" && c.Network.LoadBalancer != "none" {
		bad("network.loadBalancer", c.Network.LoadBalancer, `must be "nodes" or "none"`)
	}
	if m := c.Network.Ingress.Mode; m != "nodes" && m != "none" {
		bad("network.ingress.mode", m, `must be "nodes" or "none"`)
	}
	if s := c.Network.Ingress.DefaultCertificate; s != "" && strings.Count(strings.Trim(s, "/"), "/") != 1 {
		bad("network.ingress.defaultCertificate", s, "must be a Secret as NAMESPACE/NAME")
	}
	if c.Network.Policy != "nftables" && c.Network.Policy != "none" {
		bad("network.policy", c.Network.Policy, `must be "nftables" or "none"`)
	}
	if len(c.Network.Bridge) > 15 {
		bad("network.bridge", c.Network.Bridge, "an interface name has at most 15 characters")
	}
	for field, p := range map[string]int{
		"api.port": *c.API.Port, "node.port": *c.Node.Port, "node.healthPort": *c.Node.HealthPort,
		"network.ingress.httpPort": *c.Network.Ingress.HTTPPort, "network.ingress.httpsPort": *c.Network.Ingress.HTTPSPort,
	} {
		if p > 65535 || p < -1 {
			bad(field, fmt.Sprint(p), "must be a port, or 0 for any free one")
		}
	}
	if c.HollowNodes < 0 || c.HollowNodes > hollow.MaxNodes {
		bad("hollowNodes", fmt.Sprint(c.HollowNodes), fmt.Sprintf("must be between 0 and %d", hollow.MaxNodes))
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad("logLevel", c.LogLevel, "must be debug, info, warn or error")
	}
	return errors.Join(errs...)
}

// Files of a cluster, all below its two directories.

// LockFile is held by the running server and names its process.
func (c *Config) LockFile() string { return filepath.Join(c.DataDir, "proa.lock") }

// LogFile takes the output of a server in the background.
func (c *Config) LogFile() string { return filepath.Join(c.DataDir, "log", "proa.log") }

// PKIDir holds keys and certificates.
func (c *Config) PKIDir() string { return filepath.Join(c.DataDir, "pki") }

// EncryptionFile says how the store is encrypted, unless another is named.
func (c *Config) EncryptionFile() string { return filepath.Join(c.DataDir, "encryption.yaml") }

// EtcdDir holds the embedded store.
func (c *Config) EtcdDir() string { return filepath.Join(c.DataDir, "etcd") }

// AdminKubeconfig gives full access to the cluster.
func (c *Config) AdminKubeconfig() string { return filepath.Join(c.DataDir, "admin.kubeconfig") }

// ControllersKubeconfig, SchedulerKubeconfig, KubeletKubeconfig and
// ProxyKubeconfig are for parts that run alone, the kubelet's for the node of
// this configuration.
func (c *Config) ControllersKubeconfig() string {
	return filepath.Join(c.DataDir, "controller-manager.kubeconfig")
}

// SchedulerKubeconfig is described above.
func (c *Config) SchedulerKubeconfig() string {
	return filepath.Join(c.DataDir, "scheduler.kubeconfig")
}

// KubeletKubeconfig is described above.
func (c *Config) KubeletKubeconfig() string { return filepath.Join(c.DataDir, "kubelet.kubeconfig") }

// ProxyKubeconfig is described above.
func (c *Config) ProxyKubeconfig() string { return filepath.Join(c.DataDir, "proxy.kubeconfig") }

// ContainerdRoot and ContainerdState belong to the embedded runtime.
func (c *Config) ContainerdRoot() string { return filepath.Join(c.DataDir, "containerd") }

// ContainerdState is lost at a boot.
func (c *Config) ContainerdState() string { return filepath.Join(c.RunDir, "containerd") }

// ContainerdSocket is the CRI socket of the embedded runtime.
func (c *Config) ContainerdSocket() string {
	return filepath.Join(c.RunDir, "containerd", "containerd.sock")
}

func set(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

func setPort(p **int, v int) {
	if *p == nil {
		*p = &v
	}
}

// RuntimeEndpoint is where the node's container runtime answers CRI.
func (c *Config) RuntimeEndpoint() string {
	if c.Node.RuntimeEndpoint != "" {
		return c.Node.RuntimeEndpoint
	}
	return "unix://" + c.ContainerdSocket()
}
