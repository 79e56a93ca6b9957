package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"proa/node/cgroup"
	"proa/pki"
)

// The operations on single nodes of a cluster that is divided into nodes. They
// must run in the network namespace that the cluster was started in. c is read
// for its data directory only.

// AddNode makes a node and returns when it is ready.
func AddNode(ctx context.Context, c *Config, name string) error {
	f, err := openRecordedFleet(c)
	if err != nil {
		return err
	}
	defer f.close()
	nodes, err := f.nodes()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(nodes, func(n *fleetNode) bool { return n.Name == name }) {
		return fmt.Errorf("there is a node %q already", name)
	}
	if len(nodes) >= maxNodes {
		return fmt.Errorf("%d nodes are the most that one machine is divided into", maxNodes)
	}
	n, err := f.make(name, nodes)
	if err != nil {
		return err
	}
	if err := f.start(ctx, n); err != nil {
		return errors.Join(err, f.erase(context.WithoutCancel(ctx), n))
	}
	return nil
}

// StartNode boots a node that is down and returns when it is ready. For the first
// node that is what "proa up" does: f receives its progress.
func StartNode(ctx context.Context, c *Config, name string, progress func(Progress)) error {
	f, err := openRecordedFleet(c)
	if err != nil {
		return err
	}
	n, err := f.node(name)
	if err == nil && !n.first() {
		err = f.start(ctx, n)
	}
	f.close()
	if err != nil || !n.first() {
		return err
	}
	if pid, err := Running(f.config); err != nil || pid != 0 {
		return err
	}
	return Spawn(ctx, f.config, progress)
}

// start boots a node other than the first.
func (f *fleet) start(ctx context.Context, n *fleetNode) error {
	n.Stopped = false
	if err := f.save(n); err != nil {
		return err
	}
	if err := f.networks(ctx, []*fleetNode{n}); err != nil {
		return err
	}
	authority, err := pki.Open(f.config.PKIDir(), clock.RealClock{})
	if err != nil {
		return fmt.Errorf("certificates in %s: %w", f.config.PKIDir(), err)
	}
	url, err := f.innerURL()
	if err != nil {
		return err
	}
	if err := f.boot(ctx, n, authority, url); err != nil {
		return err
	}
	return f.shareImages(ctx, n)
}

// innerURL is how nodes reach the API server.
func (f *fleet) innerURL() (string, error) {
	first, err := f.node(firstNode)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("https://%s:%d", first.Address, *f.config.API.Port), nil
}

// StopNode kills a node as a power cut would: its agent (on the first node the
// server), and everything that it runs, at once. Its disk stays.
func StopNode(ctx context.Context, c *Config, name string) error {
	return withNode(c, name, func(f *fleet, n *fleetNode) error {
		n.Stopped = true
		if err := f.save(n); err != nil {
			return err
		}
		return f.cut(ctx, n, 0)
	})
}

// RemoveNode ends a node for good, with its data and its Node object.
func RemoveNode(ctx context.Context, c *Config, name string) error {
	return withNode(c, name, func(f *fleet, n *fleetNode) error {
		if n.first() {
			return fmt.Errorf("%s holds the control plane: \"proa down\" ends the cluster", n.Name)
		}
		if err := f.cut(ctx, n, stopGrace); err != nil {
			return err
		}
		// Only now: its agent would make the object again.
		client, err := adminClient(f.config)
		if err != nil {
			return err
		}
		if err := client.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the Node object of %s: %w", n.Name, err)
		}
		return f.erase(ctx, n)
	})
}

// PartitionNode cuts a node off the others, HealNode connects it again.
func PartitionNode(ctx context.Context, c *Config, name string) error {
	return withNode(c, name, func(_ *fleet, n *fleetNode) error {
		if !n.Exists() {
			return fmt.Errorf("%s is down: \"proa node start %s\"", n.Name, n.Name)
		}
		return n.Partition(ctx)
	})
}

// HealNode ends a partition.
func HealNode(ctx context.Context, c *Config, name string) error {
	return withNode(c, name, func(_ *fleet, n *fleetNode) error {
		if !n.Exists() {
			return nil // nothing is left of it
		}
		return n.Heal(ctx)
	})
}

func withNode(c *Config, name string, f func(*fleet, *fleetNode) error) error {
	fl, err := openRecordedFleet(c)
	if err != nil {
		return err
	}
	defer fl.close()
	n, err := fl.node(name)
	if err != nil {
		return err
	}
	return f(fl, n)
}

func adminClient(c *Config) (kubernetes.Interface, error) {
	rc, err := clientcmd.BuildConfigFromFlags("", c.AdminKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.AdminKubeconfig(), err)
	}
	return kubernetes.NewForConfig(rc)
}

// cut ends a node as the loss of its power would.
func (f *fleet) cut(ctx context.Context, n *fleetNode, grace time.Duration) error {
	if err := f.kill(ctx, n, grace); err != nil {
		return err
	}
	return f.clear(ctx, n)
}

// kill ends the process of a node.
func (f *fleet) kill(ctx context.Context, n *fleetNode, grace time.Duration) error {
	pid, err := f.pidOf(n)
	if err != nil || pid == 0 {
		return err
	}
	return Stop(ctx, pid, grace)
}

// clear ends what a dead node has left running, and removes what a machine loses
// with its power: mounts, cgroups, network, and its run directory.
func (f *fleet) clear(ctx context.Context, n *fleetNode) error {
	c, err := f.configOf(n)
	if err != nil {
		return err
	}
	if err := removeWork(ctx, c); err != nil {
		return fmt.Errorf("end what %s runs: %w", n.Name, err)
	}
	// With it goes whatever its pod network and proxy have made there.
	if err := n.Remove(); err != nil {
		return err
	}
	gone := c.RunDir
	if n.first() {
		gone = filepath.Join(c.RunDir, "cni") // the rest is the cluster's
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove the run directory of %s: %w", n.Name, err)
	}
	return nil
}

// erase removes what is left of a node that was cut, and its certificate.
func (f *fleet) erase(ctx context.Context, n *fleetNode) error {
	if err := f.cut(ctx, n, 0); err != nil {
		return err
	}
	var errs []error
	for _, suffix := range []string{".crt", ".key"} {
		if err := os.Remove(filepath.Join(f.config.PKIDir(), pki.Node(n.Name).File+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(fleetDir(f.config), n.Name)))...)
}

// downFleet ends every node and takes their network away. The next start starts
// all of them. The server must have ended, and its lock be held.
func downFleet(ctx context.Context, c *Config) error {
	f, err := openRecordedFleet(c)
	if errors.Is(err, ErrNoFleet) {
		return nil // it never started
	}
	if err != nil {
		return err
	}
	defer f.close()
	nodes, err := f.nodes()
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, n := range nodes {
		g.Go(func() error {
			n.Stopped = false
			if err := f.save(n); err != nil {
				return err
			}
			if n.first() {
				return f.clear(ctx, n) // the caller has ended the server, and holds its lock
			}
			return f.cut(ctx, n, stopGrace)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	lan, err := f.lan()
	if err != nil {
		return err
	}
	if err := lan.Remove(ctx); err != nil {
		return err
	}
	groups, err := cgroup.New(cgroup.Config{Root: fleetCgroup(f.config)})
	if err != nil {
		return err
	}
	return groups.Destroy()
}
