package interchange

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// upstreamEnv names the folder with upstream's programs and etcd.
const upstreamEnv = "PROA_UPSTREAM_BIN_DIR"

// maker makes a part.
type maker string

const (
	proa     maker = "proa"
	upstream maker = "upstream"
)

// part is one process of a cluster.
type part string

const (
	apiServer   part = "API server"
	controllers part = "controllers"
	scheduler   part = "scheduler"
	kubelet     part = "kubelet"
	proxy       part = "proxy"
)

// parts in the order in which they start.
var parts = []part{apiServer, controllers, scheduler, kubelet, proxy}

// makers says who makes each part.
type makers map[part]maker

// allBy is the row of one maker, with the exceptions.
func allBy(m maker, exceptions ...part) makers {
	ms := makers{}
	for _, p := range parts {
		ms[p] = m
	}
	for _, p := range exceptions {
		if m == proa {
			ms[p] = upstream
		} else {
			ms[p] = proa
		}
	}
	return ms
}

// command is the program of a part and its arguments.
func (c *cluster) command(p part, m maker) (program string, args []string) {
	c.t.Helper()
	if m == proa {
		return filepath.Join(c.bin, "proa"), c.proaArgs(p)
	}
	name := map[part]string{
		apiServer: "kube-apiserver", controllers: "kube-controller-manager", scheduler: "kube-scheduler",
		kubelet: "kubelet", proxy: "kube-proxy",
	}[p]
	return filepath.Join(c.upstream, name), c.upstreamArgs(p)
}

func (c *cluster) proaArgs(p part) []string {
	c.t.Helper()
	switch p {
	case apiServer:
		args := []string{
			"apiserver", "--data-dir", c.path("api"), "--port", strconv.Itoa(apiPort), "--node-ip", nodeAddress, "--service-cidr", serviceCIDR,
		}
		if c.external() {
			args = append(args, "--etcd-servers", etcdURL)
		}
		return args
	case controllers:
		return []string{"controller-manager", "--kubeconfig", c.kubeconfig("controllers")}
	case scheduler:
		return []string{"scheduler", "--kubeconfig", c.kubeconfig("scheduler")}
	case kubelet:
		return append([]string{"kubelet"}, c.kubeletArgs()...)
	case proxy:
		return []string{"proxy", "--kubeconfig", c.kubeconfig("proxy"), "--hostname-override", nodeName}
	}
	c.t.Fatalf("unknown part %s", p)
	return nil
}

func (c *cluster) upstreamArgs(p part) []string {
	c.t.Helper()
	switch p {
	case apiServer:
		return []string{
			"--etcd-servers", etcdURL, "--secure-port", strconv.Itoa(apiPort), "--advertise-address", nodeAddress,
			"--tls-cert-file", c.pki("apiserver.crt"), "--tls-private-key-file", c.pki("apiserver.key"), "--client-ca-file", c.pki("ca.crt"),
			"--service-account-key-file", c.pki("sa.pub"), "--service-account-signing-key-file", c.pki("sa.key"),
			"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
			"--kubelet-client-certificate", c.pki("apiserver-kubelet-client.crt"), "--kubelet-client-key", c.pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority", c.pki("ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
			"--requestheader-client-ca-file", c.pki("front-proxy-ca.crt"), "--requestheader-allowed-names", "front-proxy-client",
			"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
			"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
			"--proxy-client-cert-file", c.pki("front-proxy-client.crt"), "--proxy-client-key-file", c.pki("front-proxy-client.key"),
			"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--service-cluster-ip-range", serviceCIDR,
		}
	case controllers:
		return []string{
			"--kubeconfig", c.kubeconfig("controllers"), "--use-service-account-credentials", "--leader-elect=false",
			"--root-ca-file", c.pki("ca.crt"), "--service-account-private-key-file", c.pki("sa.key"),
			"--cluster-signing-cert-file", c.pki("ca.crt"), "--cluster-signing-key-file", c.pki("ca.key"),
			"--service-cluster-ip-range", serviceCIDR, "--bind-address", "127.0.0.1", "--cert-dir", c.path("controllers"),
			"--kube-api-qps", "1000", "--kube-api-burst", "1000",
		}
	case scheduler:
		return []string{
			"--kubeconfig", c.kubeconfig("scheduler"), "--leader-elect=false", "--bind-address", "127.0.0.1", "--cert-dir", c.path("scheduler"),
			"--kube-api-qps", "1000", "--kube-api-burst", "1000",
		}
	case kubelet:
		return append(c.kubeletArgs(), "--cert-dir", c.path("kubelet", "pki"))
	case proxy:
		return []string{
			"--kubeconfig", c.kubeconfig("proxy"), "--hostname-override", nodeName, "--proxy-mode", "nftables",
			"--cluster-cidr", clusterCIDR, "--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s",
		}
	}
	c.t.Fatalf("unknown part %s", p)
	return nil
}

// kubeletArgs are the same for both: the configuration is upstream's kind.
func (c *cluster) kubeletArgs() []string {
	c.t.Helper()
	config := kubeletconfig.KubeletConfiguration{
		TypeMeta:                 v1.TypeMeta{APIVersion: kubeletconfig.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},
		ContainerRuntimeEndpoint: c.runtime.Endpoint(),
		ClusterDNS:               []string{clusterDNS},
		ClusterDomain:            "cluster.local",
		CgroupRoot:               c.runtime.CgroupParent,
		CgroupDriver:             "cgroupfs",
		TLSCertFile:              c.pki("kubelet-" + nodeName + ".crt"),
		TLSPrivateKeyFile:        c.pki("kubelet-" + nodeName + ".key"),
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
		c.t.Fatal(err)
	}
	file := c.path("kubelet.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.MkdirAll(config.StaticPodPath, 0o755); err != nil {
		c.t.Fatal(err)
	}
	return []string{
		"--kubeconfig", c.kubeconfig("kubelet"), "--config", file, "--hostname-override", nodeName,
		"--node-ip", nodeAddress, "--root-dir", c.path("kubelet"),
	}
}

// String names a row as its exception, which is how people speak of it.
func (m makers) String() string {
	count := map[maker]int{}
	for _, p := range parts {
		count[m[p]]++
	}
	most, other := proa, upstream
	if count[upstream] > count[proa] {
		most, other = upstream, proa
	}
	if count[other] == 0 {
		return fmt.Sprintf("all %s's", most)
	}
	s := fmt.Sprintf("%s's, but", most)
	for _, p := range parts {
		if m[p] == other {
			s += " " + string(p)
		}
	}
	return s
}
