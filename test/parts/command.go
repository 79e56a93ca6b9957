package parts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"proa/cache/encryption"
)

// unlimited is a rate of requests, per second, that no client here reaches.
const unlimited = 100_000

// port is a part's, as an argument.
func (c *Cluster) port(of int) string { return strconv.Itoa(of + c.Shift) }

// encryption is the file that says how the store is encrypted.
func (c *Cluster) encryption() string { return c.path("encryption.yaml") }

// command is the program of a part and its arguments.
func (c *Cluster) command(p Part, m Maker) (program string, args []string, err error) {
	if p == Kubelet {
		if err := c.writeKubeletConfig(); err != nil {
			return "", nil, err
		}
	}
	if p == APIServer {
		// One configuration for both makers, so that each has to read what the
		// other has encrypted.
		if err := encryption.Ensure(c.encryption(), time.Now()); err != nil {
			return "", nil, err
		}
	}
	if m == Proa {
		args, ok := c.proaArgs()[p]
		if !ok {
			return "", nil, fmt.Errorf("there is no part %q", p)
		}
		return filepath.Join(c.Proa, "proa"), args, nil
	}
	name, ok := map[Part]string{
		APIServer: "kube-apiserver", Controllers: "kube-controller-manager", Scheduler: "kube-scheduler",
		Kubelet: "kubelet", Proxy: "kube-proxy",
	}[p]
	if !ok {
		return "", nil, fmt.Errorf("there is no part %q", p)
	}
	return filepath.Join(c.Upstream, name), c.upstreamArgs()[p], nil
}

func (c *Cluster) proaArgs() map[Part][]string {
	server := []string{
		"apiserver", "--data-dir", c.path("api"), "--encryption-provider-config", c.encryption(), "--port", c.port(apiPort), "--node-ip", c.Address, "--service-cidr", c.ServiceCIDR,
		"--ingress", "none", // as upstream's has none
	}
	if c.external() {
		server = append(server, "--etcd-servers", c.etcdURL())
	}
	return map[Part][]string{
		APIServer:   server,
		Controllers: {"controller-manager", "--kubeconfig", c.Kubeconfig(controllersIdentity), "--secure-port", c.port(controllersPort)},
		Scheduler:   {"scheduler", "--kubeconfig", c.Kubeconfig(schedulerIdentity), "--secure-port", c.port(schedulerPort)},
		Kubelet:     append([]string{"kubelet"}, c.kubeletArgs()...),
		Proxy:       {"proxy", "--kubeconfig", c.Kubeconfig(proxyIdentity), "--hostname-override", c.Node},
	}
}

func (c *Cluster) upstreamArgs() map[Part][]string {
	rate := []string{"--kube-api-qps", strconv.Itoa(unlimited), "--kube-api-burst", strconv.Itoa(unlimited)}
	return map[Part][]string{
		APIServer: {
			"--encryption-provider-config", c.encryption(), "--etcd-servers", c.etcdURL(), "--secure-port", c.port(apiPort), "--advertise-address", c.Address,
			"--tls-cert-file", c.pki("apiserver.crt"), "--tls-private-key-file", c.pki("apiserver.key"), "--client-ca-file", c.pki("ca.crt"),
			"--service-account-key-file", c.pki("sa.pub"), "--service-account-signing-key-file", c.pki("sa.key"),
			"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
			"--kubelet-client-certificate", c.pki("apiserver-kubelet-client.crt"), "--kubelet-client-key", c.pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority", c.pki("ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
			"--requestheader-client-ca-file", c.pki("front-proxy-ca.crt"), "--requestheader-allowed-names", "front-proxy-client",
			"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
			"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
			"--proxy-client-cert-file", c.pki("front-proxy-client.crt"), "--proxy-client-key-file", c.pki("front-proxy-client.key"),
			"--allow-privileged", "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--service-cluster-ip-range", c.ServiceCIDR,
		},
		Controllers: append([]string{
			"--kubeconfig", c.Kubeconfig(controllersIdentity), "--use-service-account-credentials", "--leader-elect=false",
			"--root-ca-file", c.pki("ca.crt"), "--service-account-private-key-file", c.pki("sa.key"),
			"--cluster-signing-cert-file", c.pki("ca.crt"), "--cluster-signing-key-file", c.pki("ca.key"),
			"--service-cluster-ip-range", c.ServiceCIDR, "--bind-address", loopback, "--secure-port", c.port(controllersPort),
			"--cert-dir", c.path("controllers"),
		}, rate...),
		Scheduler: append([]string{
			"--kubeconfig", c.Kubeconfig(schedulerIdentity), "--leader-elect=false", "--bind-address", loopback,
			"--secure-port", c.port(schedulerPort), "--cert-dir", c.path("scheduler"),
		}, rate...),
		Kubelet: append(c.kubeletArgs(), "--cert-dir", c.path("kubelet", "pki")),
		Proxy: {
			"--kubeconfig", c.Kubeconfig(proxyIdentity), "--hostname-override", c.Node, "--proxy-mode", "nftables",
			"--cluster-cidr", c.ClusterCIDR, "--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s",
		},
	}
}

// kubeletArgs are the same for both makers.
func (c *Cluster) kubeletArgs() []string {
	return []string{
		"--kubeconfig", c.Kubeconfig(kubeletIdentity), "--config", c.path("kubelet.yaml"), "--hostname-override", c.Node,
		"--node-ip", c.Address, "--root-dir", c.path("kubelet"),
	}
}

// writeKubeletConfig writes the configuration of the kubelet, which is of
// upstream's kind for both makers.
func (c *Cluster) writeKubeletConfig() error {
	config := kubeletconfig.KubeletConfiguration{
		TypeMeta:                 v1.TypeMeta{APIVersion: kubeletconfig.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},
		ContainerRuntimeEndpoint: c.Runtime,
		ClusterDNS:               []string{c.DNS},
		ClusterDomain:            "cluster.local",
		CgroupRoot:               c.CgroupRoot,
		CgroupDriver:             "cgroupfs",
		Port:                     int32(kubeletPort + c.Shift),
		HealthzPort:              ptr.To(int32(kubeletHealthPort + c.Shift)),
		KubeAPIQPS:               ptr.To[int32](unlimited),
		KubeAPIBurst:             unlimited,
		TLSCertFile:              c.pki("kubelet-" + c.Node + ".crt"),
		TLSPrivateKeyFile:        c.pki("kubelet-" + c.Node + ".key"),
		Authentication: kubeletconfig.KubeletAuthentication{
			X509:      kubeletconfig.KubeletX509Authentication{ClientCAFile: c.pki("ca.crt")},
			Webhook:   kubeletconfig.KubeletWebhookAuthentication{Enabled: ptr.To(true)},
			Anonymous: kubeletconfig.KubeletAnonymousAuthentication{Enabled: ptr.To(false)},
		},
		Authorization: kubeletconfig.KubeletAuthorization{Mode: kubeletconfig.KubeletAuthorizationModeWebhook},
		PodLogsDir:    c.path("pods"),
		StaticPodPath: c.path("manifests"),
		// Upstream refuses control groups of version 1 unless told not to.
		FailCgroupV1: ptr.To(false),
		FailSwapOn:   ptr.To(false),
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("configuration of the kubelet: %w", err)
	}
	if err := os.WriteFile(c.path("kubelet.yaml"), data, 0o600); err != nil {
		return fmt.Errorf("configuration of the kubelet: %w", err)
	}
	return os.MkdirAll(config.StaticPodPath, 0o755)
}
