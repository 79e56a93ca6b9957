// Package cluster starts a Proa in a network namespace of its own, so that it
// disturbs nothing on the machine and nothing there disturbs it. Cgroups, mounts
// and processes are the machine's.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// address is that of the machine in the namespace, by which nodes reach it.
const address = "192.0.2.10"

// Config says what to start.
type Config struct {
	// Proa is the program. What it needs lies beside it.
	Proa string
	// Nodes is how many nodes the cluster has, at least one.
	Nodes int
}

// Cluster is a running Proa.
type Cluster struct {
	config Config
	dir    string
	netns  string
	flags  []string
	// registry is nil until it is served.
	registry *http.Server
	serving  sync.WaitGroup
}

// Start makes the namespace and starts the cluster in it. The caller stops it.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a cluster makes containers and must be started as root: use make")
	}
	// A short path: unix sockets below it must fit into 107 bytes.
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("pc%d", os.Getpid())
	cl := &Cluster{config: c, dir: dir, netns: name, flags: []string{
		"--data-dir", filepath.Join(dir, "d"), "--bridge", "pc0", "--cgroup-root", "/" + name, "--node-name", "node",
		"--registry-dir", filepath.Join(dir, "certs.d"),
	}}
	if err := cl.start(ctx); err != nil {
		return nil, errors.Join(err, cl.Stop())
	}
	return cl, nil
}

func (c *Cluster) start(ctx context.Context) error {
	for _, args := range [][]string{
		{"netns", "add", c.netns},
		{"-n", c.netns, "link", "set", "lo", "up"},
		{"-n", c.netns, "link", "add", "up0", "type", "bridge"},
		{"-n", c.netns, "addr", "add", address + "/24", "dev", "up0"},
		{"-n", c.netns, "link", "set", "up0", "up"},
	} {
		if err := run(exec.CommandContext(ctx, "ip", args...)); err != nil {
			return err
		}
	}
	up := append([]string{"up", "--keep-kubeconfig"}, c.flags...)
	if c.config.Nodes > 1 {
		up = append(up, "--nodes", strconv.Itoa(c.config.Nodes))
	}
	if err := run(c.Command(ctx, c.config.Proa, up...)); err != nil {
		log, _ := os.ReadFile(c.Log())
		return fmt.Errorf("start the cluster: %w\n%s", err, log[max(0, len(log)-4096):])
	}
	return nil
}

// Import loads an archive of images into every node.
func (c *Cluster) Import(ctx context.Context, archive string) error {
	return run(c.Command(ctx, c.config.Proa, "image", "import", "--data-dir", filepath.Join(c.dir, "d"), archive))
}

// ServeRegistry lets the nodes pull from h, whatever registry an image is of, until
// the cluster is stopped.
func (c *Cluster) ServeRegistry(h http.Handler) error {
	l, err := listenIn("/run/netns/"+c.netns, net.JoinHostPort(address, "5000"))
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	dir := filepath.Join(c.dir, "certs.d", "_default")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Join(err, l.Close())
	}
	hosts := fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+l.Addr().String())
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(hosts), 0o644); err != nil {
		return errors.Join(err, l.Close())
	}
	c.registry = &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	c.serving.Go(func() { _ = c.registry.Serve(l) })
	return nil
}

// Kubeconfig gives full access.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "d", "admin.kubeconfig") }

// Log is what the cluster says.
func (c *Cluster) Log() string { return filepath.Join(c.dir, "d", "log", "proa.log") }

// Root is where the node keeps its pods.
func (c *Cluster) Root() string { return filepath.Join(c.dir, "d", "kubelet") }

// Command runs a program that sees the cluster's network.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/run/netns/" + c.netns, name}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "HOME="+c.dir)
	return cmd
}

// Stop takes away all that Start has made. It runs to its end whatever became of
// the context that the cluster was started in.
func (c *Cluster) Stop() error {
	var errs []error
	ctx := context.Background()
	if _, err := os.Stat(filepath.Join(c.dir, "d")); err == nil {
		down := append([]string{"down", "--purge"}, c.flags...)
		errs = append(errs, run(c.Command(ctx, c.config.Proa, down...)))
	}
	if c.registry != nil {
		errs = append(errs, c.registry.Close())
		c.serving.Wait()
	}
	errs = append(errs, run(exec.Command("ip", "netns", "del", c.netns)))
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}
