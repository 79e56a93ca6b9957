package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"proa/network/cni"
	"proa/network/dns"
	"proa/network/policy"
	"proa/network/proxy"
	"proa/network/routes"
	"proa/node/cgroup"
	"proa/runtime"
)

// stopGrace is how long a server has to end by itself.
const stopGrace = 30 * time.Second

// Down ends the cluster's process, if it runs, and removes everything that it
// has made on this machine outside its data directory: containers, mounts,
// network, cgroups. It works as well for a cluster whose process was killed.
// With purge the data goes too. It reports whether a process was running.
func Down(ctx context.Context, c *Config, purge bool) (was bool, err error) {
	pid, err := Running(c)
	if err != nil {
		return false, err
	}
	if pid != 0 {
		if err := Stop(ctx, pid, stopGrace); err != nil {
			return true, err
		}
	}
	if _, err := os.Stat(c.DataDir); errors.Is(err, os.ErrNotExist) {
		return pid != 0, nil
	}
	lock, err := AcquireLock(c)
	if err != nil {
		return pid != 0, err
	}
	defer lock.Release()
	errs := []error{}
	switch {
	case hasFleet(c):
		errs = append(errs, downFleet(ctx, c))
	case !c.Node.Disabled:
		errs = append(errs, removeNode(ctx, c))
	}
	if purge {
		errs = append(errs, RemoveKubeconfig(c.AdminKubeconfig()))
	}
	if err := errors.Join(errs...); err != nil {
		return pid != 0, err
	}
	if err := os.RemoveAll(c.RunDir); err != nil {
		return pid != 0, fmt.Errorf("remove the run directory: %w", err)
	}
	if purge {
		if err := removeTree(c.DataDir); err != nil {
			return pid != 0, fmt.Errorf("remove the data directory: %w", err)
		}
	}
	return pid != 0, nil
}

// removeTree removes a directory and all below it. One that is a mount point is
// emptied and stays.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if left, lerr := os.ReadDir(dir); lerr != nil || len(left) > 0 {
		return err
	}
	return nil
}

// removeNode ends what the node runs. The pod network goes first, while the
// records of its addresses are there.
func removeNode(ctx context.Context, c *Config) error {
	var errs []error
	errs = append(errs, proxy.Cleanup(ctx, proxy.DefaultTable), policy.Cleanup(ctx, policy.DefaultTable))
	if a, err := netip.ParseAddr(c.Network.ClusterDNS); err == nil {
		errs = append(errs, dns.Release(a))
	}
	if c.Network.CNI == "bridge" {
		errs = append(errs, removePodNetwork(ctx, c))
	}
	return errors.Join(append(errs, removeWork(ctx, c))...)
}

// removeWork ends what the node runs, and leaves its network alone.
func removeWork(ctx context.Context, c *Config) error {
	var errs []error
	if c.Node.RuntimeEndpoint == "" {
		errs = append(errs, runtime.Teardown(ctx, runtime.TeardownConfig{
			Root: c.ContainerdRoot(), State: c.ContainerdState(), Socket: c.ContainerdSocket(),
			CgroupParents: []string{filepath.Join(c.Node.CgroupRoot, "kubepods")},
			Logger:        slog.New(slog.DiscardHandler), // the command says what matters
		}))
		// Now empty; a root other than the system's was made with it.
		cgroups, err := cgroup.New(cgroup.Config{Root: c.Node.CgroupRoot})
		if err == nil {
			err = cgroups.Destroy()
		}
		errs = append(errs, err)
	}
	errs = append(errs, runtime.UnmountBelow(c.Node.Root))
	return errors.Join(errs...)
}

func removePodNetwork(ctx context.Context, c *Config) error {
	cluster, err := podCIDRs(c)
	if err != nil {
		return err
	}
	network, err := podNetworkConfig(c, cluster)
	if err != nil {
		return err
	}
	return errors.Join(cni.Teardown(ctx, network), routes.Remove(cluster))
}
