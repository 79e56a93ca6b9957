package interchange

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"proa/pki"
	"proa/runtime"
	"proa/runtime/runtimetest"
)

const (
	nodeName    = "node"
	serviceCIDR = "10.96.0.0/16"
	serviceIP   = "10.96.0.1" // the API server's
	clusterDNS  = "10.96.0.10"
	clusterCIDR = "10.199.0.0/16" // holds the subnets that runtimetest gives out
	apiPort     = 6443
	apiURL      = "https://127.0.0.1:6443"
)

// cluster is one row at work. Its directory holds what the parts keep:
//
//	api/pki        certificates and keys, as Proa lays them out
//	*.kubeconfig   one identity each
//	etcd, kubelet  the store, and the node's files
//	*.log          what the parts say
type cluster struct {
	t         *testing.T
	makers    makers
	bin       string // Proa's programs
	upstream  string // upstream's
	dir       string
	authority *pki.Authority
	client    kubernetes.Interface
	runtime   *runtimetest.Env
	running   []*process
}

// newCluster makes directory, certificates and kubeconfigs, and starts nothing.
func newCluster(t *testing.T, m makers) *cluster {
	t.Helper()
	furnish(t)
	// Short, for the sockets below it.
	dir, err := os.MkdirTemp("", "pi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Volumes of pods that a failed script has left.
		if err := runtime.UnmountBelow(dir); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{t: t, makers: m, bin: runtimetest.BinDir(t), upstream: os.Getenv(upstreamEnv), dir: dir}
	if c.authority, err = pki.Open(c.path("api", "pki"), clock.RealClock{}); err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]pki.Spec{
		"admin": pki.Admin(), "controllers": pki.ControllerManager(), "scheduler": pki.Scheduler(),
		"kubelet": pki.Node(nodeName), "proxy": pki.Proxy(),
	} {
		if err := c.leaf(spec).Kubeconfig("interchange", apiURL).Write(c.kubeconfig(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, spec := range []pki.Spec{
		pki.APIServer(serviceIP, nodeAddress), pki.KubeletClient(), pki.FrontProxyClient(), pki.NodeServer(nodeName, nodeAddress),
	} {
		c.leaf(spec)
	}
	return c
}

// leaf makes a certificate.
func (c *cluster) leaf(spec pki.Spec) *pki.Leaf {
	c.t.Helper()
	l, err := c.authority.Leaf(spec)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

func (c *cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// pki is the path of a file of the PKI.
func (c *cluster) pki(file string) string { return c.path("api", "pki", file) }

func (c *cluster) kubeconfig(name string) string { return c.path(name + ".kubeconfig") }

// start runs a part, Proa's or upstream's.
func (c *cluster) start(p part) *process {
	c.t.Helper()
	m := c.makers[p]
	program, args := c.command(p, m)
	pr := start(c.t, c.dir, string(m)+"-"+strings.ReplaceAll(string(p), " ", "-"), program, args...)
	c.running = append(c.running, pr)
	return pr
}

// startAll starts every part, on a container runtime of this row's own.
func (c *cluster) startAll() {
	c.t.Helper()
	c.runtime = runtimetest.Start(c.t)
	c.makeCgroup(c.runtime.CgroupParent)
	c.startAPI()
	for _, p := range parts[1:] {
		c.start(p)
	}
}

// startAPI starts the store and the API server, and waits until it answers.
func (c *cluster) startAPI() {
	c.t.Helper()
	if c.external() {
		c.running = append(c.running, c.startEtcd())
	}
	c.startServer()
}

// startServer starts the API server over the store that there is, and waits
// until it answers.
func (c *cluster) startServer() {
	c.t.Helper()
	c.start(apiServer)
	c.client = c.connect()
	until(c.t, "the API server", c.running, func(ctx context.Context) error {
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
}

// makeCgroup makes the cgroup below which the pods run, which upstream's kubelet
// wants to find. It goes with the runtime.
func (c *cluster) makeCgroup(name string) {
	c.t.Helper()
	roots := []string{"/sys/fs/cgroup"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		// Version 1: one hierarchy for each set of controllers.
		if roots, err = filepath.Glob("/sys/fs/cgroup/*"); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
}

// external says whether the store is an etcd of its own: wherever upstream's
// programs are at hand. Otherwise it is embedded in Proa's API server.
func (c *cluster) external() bool { return c.upstream != "" }

func (c *cluster) connect() kubernetes.Interface {
	c.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig("admin"))
	if err != nil {
		c.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// etcdURL is where the store listens.
const etcdURL = "http://127.0.0.1:2379"

// startEtcd runs a store that both API servers use over the network.
func (c *cluster) startEtcd() *process {
	c.t.Helper()
	p := start(c.t, c.dir, "etcd", filepath.Join(c.upstream, "etcd"),
		"--data-dir", c.path("etcd"), "--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn")
	until(c.t, "etcd", []*process{p}, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, etcdURL+"/health", nil)
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
	return p
}

// kubectl runs the machine's kubectl as the administrator; it must succeed.
func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.feed("", args...)
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply gives a manifest to kubectl apply.
func (c *cluster) apply(manifest string, more ...string) {
	c.t.Helper()
	if out, err := c.feed(manifest, append([]string{"apply", "-f", "-"}, more...)...); err != nil {
		c.t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

func (c *cluster) feed(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig("admin"), "HOME="+c.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// asking is a kubectl command as a question for until.
func (c *cluster) asking(args ...string) func(context.Context) error {
	return func(context.Context) error {
		if out, err := c.feed("", args...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// want runs kubectl and looks for texts in what it prints.
func (c *cluster) want(texts []string, args ...string) {
	c.t.Helper()
	out := c.kubectl(args...)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			c.t.Errorf("kubectl %s does not print %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
}
