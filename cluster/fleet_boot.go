package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"

	"proa/pki"
)

// enterFirstNode makes the networks of all nodes, opens the API server's port
// where it is, for those who use this machine, and goes on as the server on the
// first node, in the same process. It returns only on failure.
func enterFirstNode(ctx context.Context, c *Config, notify *Notifier) error {
	f, err := openFleet(c)
	if err != nil {
		return err
	}
	defer f.close()
	switch pid, err := Running(c); {
	case err != nil:
		return err
	case pid != 0:
		return inUse(c, pid)
	}
	was, err := f.recorded()
	if err != nil {
		return err
	}
	if was != nil && *c.API.Port == 0 {
		// The nodes know the port of the last start, and may be running.
		c.API.Port = was.API.Port
	}
	nodes, err := f.grow(max(c.Nodes, 1))
	if err != nil {
		return err
	}
	nodes[0].Stopped = false
	if err := f.save(nodes[0]); err != nil {
		return err
	}
	if err := f.networks(ctx, nodes); err != nil {
		return err
	}
	l, err := listen(c)
	if err != nil {
		return err
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	c.API.Port = &port
	if err := f.record(); err != nil {
		return err
	}
	return becomeServer(nodes[0], c, l.(*net.TCPListener), notify)
}

// becomeServer executes this program anew on the first node, with the open port
// and whoever reads its progress.
func becomeServer(n *fleetNode, c *Config, l *net.TCPListener, notify *Notifier) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	file, err := l.File()
	if err != nil {
		return fmt.Errorf("hand the API server's port on: %w", err)
	}
	defer file.Close()
	for _, open := range append(notify.files(), file) {
		if _, err := unix.FcntlInt(open.Fd(), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("hand %s on: %w", open.Name(), err)
		}
	}
	args := append(os.Args[:len(os.Args):len(os.Args)], "--listen-fd", strconv.Itoa(int(file.Fd())))
	if a, err := nodeAddress(c); err == nil {
		args = append(args, "--tls-san", a.String()) // by which this machine is known
	}
	return n.Exec(exe, args, os.Environ())
}

// onFirstNode is the configuration of the server on the first node.
func onFirstNode(c *Config, outer net.Listener) (*Config, error) {
	f := &fleet{config: c} // the record of the first node does not change
	n, err := f.node(firstNode)
	if err != nil {
		return nil, err
	}
	own, err := f.configOf(n)
	if err != nil {
		return nil, err
	}
	port := outer.Addr().(*net.TCPAddr).Port
	own.API.Port = &port
	return own, nil
}

// startOthers boots the other nodes and waits until they are ready. Those that
// run already are taken over, those that were stopped stay so.
func (s *server) startOthers(ctx context.Context) error {
	f, err := openFleet(s.cluster)
	if err != nil {
		return err
	}
	defer f.close()
	nodes, err := f.nodes()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		if n.first() || n.Stopped {
			continue
		}
		g.Go(func() error {
			if err := f.boot(ctx, n, s.authority, s.innerURL()); err != nil {
				return err
			}
			s.notify.Reached(StepNode, n.Name)
			return nil
		})
	}
	return g.Wait()
}

// innerURL is how the other nodes reach the API server.
func (s *server) innerURL() string {
	return "https://" + net.JoinHostPort(s.address.String(), strconv.Itoa(int(s.api.address.Port())))
}

// boot starts a node, unless it is running, and returns when it is ready.
func (f *fleet) boot(ctx context.Context, n *fleetNode, authority *pki.Authority, url string) error {
	c, err := f.configOf(n)
	if err != nil {
		return err
	}
	if err := f.identify(n, c, authority, url); err != nil {
		return fmt.Errorf("identity of %s: %w", n.Name, err)
	}
	if pid, err := Running(c); err != nil || pid != 0 {
		return err
	}
	for _, dir := range []string{filepath.Dir(c.LogFile()), c.RunDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the directories of %s: %w", n.Name, err)
		}
	}
	err = spawn(ctx, spawned{
		args: []string{"agent", "--config", agentConfig(c), "--kubeconfig", agentKubeconfig(c)},
		log:  c.LogFile(), start: func(cmd *exec.Cmd) error { return n.Start(cmd) },
	}, func(Progress) {})
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

func agentConfig(c *Config) string     { return filepath.Join(c.DataDir, "config.yaml") }
func agentKubeconfig(c *Config) string { return filepath.Join(c.DataDir, "pki", "kubelet.kubeconfig") }

// identify writes what a node is told: its configuration, and its own ways into
// the cluster, which are those of a node and never the operator's. Its client
// certificate it renews itself, and the one that it serves with it gets from the
// cluster's signers. That of its network, which all nodes share, the server renews.
func (f *fleet) identify(n *fleetNode, c *Config, authority *pki.Authority, url string) error {
	data, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := replaceFile(agentConfig(c), data); err != nil {
		return err
	}
	leaf, err := authority.Leaf(pki.Node(n.Name))
	if err != nil {
		return err
	}
	if err := leaf.Kubeconfig(ContextName, url).Write(agentKubeconfig(c)); err != nil {
		return err
	}
	return writeKubeconfigOfFiles(c.Network.Kubeconfig, authority, f.config.PKIDir(), pki.Proxy(), url)
}
