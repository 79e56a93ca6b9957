package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	internalapi "k8s.io/cri-api/pkg/apis"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"

	"proa/version"
)

// Config is all the agent is told. It is defaulted and validated by [New] and
// not changed after that. The zero value of a field means its default.
type Config struct {
	// NodeName is the name of the Node object. Default: Hostname.
	NodeName string
	// Hostname as pods on the host network and the hostname label show it.
	// Default: the machine's, in lower case.
	Hostname string
	// NodeIPs are the node's addresses, at most one of each family, the primary
	// first. Default: the address that the default route leaves from.
	NodeIPs []string
	// NodeLabels are set on the Node when it is registered.
	NodeLabels map[string]string
	// Root is the agent's directory. Default: /var/lib/kubelet. With another,
	// pod logs are kept below it unless Kubelet.PodLogsDir says where.
	Root string
	// ContainerLogs is where links to container logs are made for collectors;
	// "-" makes none. Default: /var/log/containers with the default root, none
	// with another.
	ContainerLogs string

	// Client reaches the API server; nil runs the agent alone.
	Client kubernetes.Interface
	// Runtime and Images are a connection to a container runtime. If nil, the
	// agent connects to Kubelet.ContainerRuntimeEndpoint.
	Runtime internalapi.RuntimeService
	Images  internalapi.ImageManagerService

	// Kubelet is upstream's configuration. See LoadKubelet for what of it is
	// honoured.
	Kubelet kubeletconfig.KubeletConfiguration

	// Isolate returns once the addresses of a pod let through no more than network
	// policies allow. Nothing of the pod runs before. nil lets through everything.
	Isolate func(ctx context.Context, p *v1.Pod, ips []string) error

	// PushSocket is a unix socket on which pod manifests can be pushed; empty
	// opens none.
	PushSocket string

	// TLS holds the serving certificate of the agent's API and the CA of its
	// clients. Without it the API is not served, unless the certificate comes
	// by Kubelet.TLSCertFile or Kubelet.ServerTLSBootstrap.
	TLS *tls.Config
	// Listener of the agent's API; if nil it listens on Kubelet.Address and
	// Kubelet.Port.
	Listener net.Listener
	// HealthListener serves /healthz without authentication; if nil it listens
	// on Kubelet.HealthzBindAddress and Kubelet.HealthzPort, unless that is 0.
	HealthListener net.Listener
	// Authenticate and Authorize guard the agent's API. If nil, they follow
	// Kubelet.Authentication and Kubelet.Authorization with the API server's
	// TokenReview and SubjectAccessReview.
	Authenticate authenticator.Request
	Authorize    authorizer.Authorizer
	// Metrics serves /metrics of the agent's API; if nil, the agent's own numbers.
	Metrics http.Handler

	// Relist is the pause between safety-net listings of the runtime. Default:
	// one minute; a second if the runtime has no event stream.
	Relist time.Duration
	Log    *slog.Logger
}

// DefaultRoot is the agent's directory unless it is told another.
const DefaultRoot = "/var/lib/kubelet"

// withDefaults fills what was left out.
func (c Config) withDefaults() (Config, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Hostname == "" {
		h, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("find the host name (set it with --hostname-override): %w", err)
		}
		c.Hostname = h
	}
	c.Hostname = strings.ToLower(strings.TrimSpace(c.Hostname))
	if c.NodeName == "" {
		c.NodeName = c.Hostname
	}
	if c.Root == "" {
		c.Root = DefaultRoot
	}
	c.Kubelet = *c.Kubelet.DeepCopy()
	if c.ContainerLogs == "" {
		c.ContainerLogs = "/var/log/containers"
		if c.Root != DefaultRoot {
			c.ContainerLogs = "-"
		}
	}
	if c.Kubelet.PodLogsDir == "" && c.Root != DefaultRoot {
		c.Kubelet.PodLogsDir = filepath.Join(c.Root, "pod-logs")
	}
	if c.Relist <= 0 {
		c.Relist = time.Minute
	}
	if len(c.NodeIPs) == 0 {
		c.NodeIPs = []string{defaultIP()}
	}
	DefaultKubelet(&c.Kubelet)
	return c, nil
}

// validate says what is wrong with a configuration, and what to do about it.
func (c *Config) validate() error {
	var errs []error
	if msgs := validation.IsDNS1123Subdomain(c.NodeName); len(msgs) > 0 {
		errs = append(errs, fmt.Errorf("node name %q is not valid (choose one with --hostname-override): %s", c.NodeName, strings.Join(msgs, "; ")))
	}
	if !filepath.IsAbs(c.Root) {
		errs = append(errs, fmt.Errorf("node root %q must be an absolute path", c.Root))
	}
	for _, ip := range c.NodeIPs {
		if net.ParseIP(ip) == nil {
			errs = append(errs, fmt.Errorf("node IP %q is not an IP address", ip))
		}
	}
	if (c.Runtime == nil) != (c.Images == nil) {
		errs = append(errs, errors.New("give both a runtime and an image service, or neither"))
	}
	if c.Runtime == nil && c.Kubelet.ContainerRuntimeEndpoint == "" {
		errs = append(errs, errors.New("no container runtime: set containerRuntimeEndpoint (--container-runtime-endpoint)"))
	}
	return errors.Join(append(errs, validateKubelet(&c.Kubelet)...)...)
}

// defaultIP is the address from which this machine reaches others, or loopback
// on one that reaches nothing. No packet is sent to find out.
func defaultIP() string {
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		ip := conn.LocalAddr().(*net.UDPAddr).IP
		_ = conn.Close() // nothing was sent
		return ip.String()
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// addresses are what the Node object shows.
func (c *Config) addresses() []v1.NodeAddress {
	var out []v1.NodeAddress
	for _, ip := range c.NodeIPs {
		out = append(out, v1.NodeAddress{Type: v1.NodeInternalIP, Address: ip})
	}
	return append(out, v1.NodeAddress{Type: v1.NodeHostName, Address: c.Hostname})
}

// kubeletVersion is what the node reports as its version.
func kubeletVersion() string { return version.Git() }

// shortVersion is the release in user agents: "1.36".
func shortVersion() string {
	parts := strings.SplitN(strings.TrimPrefix(version.Kubernetes, "v"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
