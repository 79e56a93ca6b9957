package interchange

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"proa/runtime"
	"proa/runtime/runtimetest"
	"proa/test/parts"
)

const (
	nodeName   = "node"
	apiService = "10.96.0.1"
	// upstreamEnv names the folder with upstream's programs and etcd.
	upstreamEnv = "PROA_UPSTREAM_BIN_DIR"
	// patience bounds everything that is waited for, on a busy machine.
	patience = 2 * time.Minute
)

// cluster is one row at work.
type cluster struct {
	*parts.Cluster
	t      *testing.T
	client kubernetes.Interface
}

// newCluster makes directory, certificates and kubeconfigs, and starts nothing.
// What is started ends with the test.
func newCluster(t *testing.T, m parts.Makers) *cluster {
	t.Helper()
	return newClusterAt(t, m, 0)
}

// newClusterAt is another cluster in the same room, with its ports shifted.
func newClusterAt(t *testing.T, m parts.Makers, shift int) *cluster {
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
	c := &cluster{t: t}
	c.Cluster, err = parts.New(parts.Config{
		Makers: m, Dir: dir, Proa: runtimetest.BinDir(t), Upstream: os.Getenv(upstreamEnv), Node: nodeName, Address: nodeAddress,
		// The last holds the subnets that runtimetest gives out.
		ServiceCIDR: "10.96.0.0/16", APIService: apiService, DNS: "10.96.0.10", ClusterCIDR: "10.199.0.0/16",
		Shift: shift,
		// Those that end early show in what waits for them.
		Started: func(p *parts.Process) error { t.Cleanup(func() { c.told(p) }); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told ends a part, and tells the end of its log if the test has failed.
func (c *cluster) told(p *parts.Process) {
	if err := c.Stop(p); err != nil {
		c.t.Log(err)
	}
	if c.t.Failed() {
		c.t.Logf("end of the log of %s (%v):\n%s", p.Name, p.State(), p.Tail(25))
	}
}

// startAll starts every part, on a container runtime of this row's own.
func (c *cluster) startAll() {
	c.t.Helper()
	env := runtimetest.Start(c.t)
	c.Runtime, c.CgroupRoot = env.Endpoint(), env.CgroupParent
	if err := parts.MakeCgroup(env.CgroupParent); err != nil {
		c.t.Fatal(err)
	}
	c.startAPI()
	for _, p := range parts.All[1:] {
		if _, err := c.Start(p); err != nil {
			c.t.Fatal(err)
		}
	}
}

// startAPI starts store and API server.
func (c *cluster) startAPI() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.StartAPI(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.client = c.connect()
}

func (c *cluster) connect() kubernetes.Interface {
	c.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Admin())
	if err != nil {
		c.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
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
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Admin(), "HOME="+c.Dir)
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

// until waits for what the parts are to bring about.
func (c *cluster) until(what string, ask func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := parts.Until(ctx, what, c.Running(), ask); err != nil {
		c.t.Fatal(err)
	}
}
