package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"proa/images"
	"proa/network/cni"
	"proa/runtime"
	rtimages "proa/runtime/images"
	"proa/test/parts"
)

// upstream is a cluster of upstream's parts: etcd, API server, controllers,
// scheduler, and a kubelet on a containerd, with the runc, CNI plugins and images
// that Proa's node has. It has no service proxy and no cluster DNS, which Proa
// has; its certificates are made and its images are laid out before the clock
// runs.
type upstream struct {
	binDir, programs string // Proa's programs, and upstream's
	dir, id          string
	cpu              *account
	archives         []images.Archive
	cluster          *parts.Cluster // nil where it is down
}

// upstreamNode is the name of its node.
const upstreamNode = "upstream"

// shift is added to its ports, so that Proa's can keep theirs.
const shift = 20000

// startLimit bounds the start of the parts.
const startLimit = 2 * time.Minute

func newUpstream(ctx context.Context, binDir, programs string) (*upstream, error) {
	id := fmt.Sprintf("ub%d", os.Getpid())
	cpu, err := newAccount(id)
	if err != nil {
		return nil, err
	}
	u := &upstream{binDir: binDir, programs: programs, dir: filepath.Join("/tmp", id), id: id, cpu: cpu}
	u.archives, err = images.Build(ctx, images.Options{BinDir: binDir, CacheDir: filepath.Join(binDir, "images")})
	return u, err
}

func (u *upstream) name() string { return "upstream" }

func (u *upstream) accounting() *account { return u.cpu }

func (u *upstream) kubeconfig() string { return filepath.Join(u.dir, "admin.kubeconfig") }

func (u *upstream) client(contentType string, alone bool) (kubernetes.Interface, error) {
	return newClient(u.kubeconfig(), contentType, alone)
}

func (u *upstream) socket() string { return filepath.Join(u.state(), "containerd.sock") }

// root and state are containerd's.
func (u *upstream) root() string  { return filepath.Join(u.dir, "r") }
func (u *upstream) state() string { return filepath.Join(u.dir, "s") }

func (u *upstream) network() cni.Config {
	return cni.Config{
		Network: u.id, Bridge: u.id, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.253.0.0/24")},
		ConfDir: filepath.Join(u.state(), "net.d"), StateDir: filepath.Join(u.state(), "net"),
	}
}

// up implements side.
func (u *upstream) up(ctx context.Context) (t startTimes, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := os.MkdirAll(u.state(), 0o711); err != nil {
		return t, fmt.Errorf("make the folder of upstream's cluster: %w", err)
	}
	if err := cni.Setup(ctx, u.network()); err != nil {
		return t, err
	}
	if err := os.WriteFile(u.config(), []byte(u.containerdConfig()), 0o600); err != nil {
		return t, fmt.Errorf("configuration of containerd: %w", err)
	}
	u.cluster, err = parts.New(parts.Config{
		Makers: parts.AllBy(parts.Upstream), Dir: u.dir, Proa: u.binDir, Upstream: u.programs, Node: upstreamNode, Address: roomAddress,
		ServiceCIDR: "10.254.0.0/24", APIService: "10.254.0.1", DNS: "10.254.0.10", ClusterCIDR: "10.253.0.0/24", Shift: shift,
		Runtime: "unix://" + u.socket(), CgroupRoot: "/" + u.id,
		Started: func(p *parts.Process) error { return u.cpu.join(p.PID()) },
	})
	if err != nil {
		return t, err
	}
	if err := parts.MakeCgroup(u.id); err != nil {
		return t, err
	}
	start := time.Now()
	runtime, err := u.cluster.Run("containerd", filepath.Join(u.binDir, "upstream", "containerd"), "--config", u.config())
	if err != nil {
		return t, err
	}
	if err := u.cluster.StartAPI(ctx); err != nil {
		return t, err
	}
	t.api = time.Since(start)
	// Before the API server answers these would wait, ever longer, to ask again.
	for _, p := range []parts.Part{parts.Controllers, parts.Scheduler} {
		if _, err := u.cluster.Start(p); err != nil {
			return t, err
		}
	}
	if err := u.importImages(ctx, runtime); err != nil {
		return t, err
	}
	if _, err := u.cluster.Start(parts.Kubelet); err != nil {
		return t, err
	}
	if err := u.awaitNode(ctx); err != nil {
		return t, err
	}
	t.node = time.Since(start)
	return t, nil
}

// importImages brings in what the pods of the load run, once for each data.
func (u *upstream) importImages(ctx context.Context, by *parts.Process) error {
	return parts.Until(ctx, "the container runtime", []*parts.Process{by}, func(ctx context.Context) error {
		store, err := rtimages.Connect(u.socket())
		if err != nil {
			return err
		}
		defer store.Close()
		for _, a := range u.archives {
			if _, err := store.Ensure(ctx, a.Path); err != nil {
				return err
			}
		}
		return nil
	})
}

// awaitNode waits until the node takes pods.
func (u *upstream) awaitNode(ctx context.Context) error {
	client, err := u.client(protobuf, false)
	if err != nil {
		return err
	}
	return parts.Until(ctx, "upstream's node", u.cluster.Running(), func(ctx context.Context) error {
		node, err := client.CoreV1().Nodes().Get(ctx, upstreamNode, metav1.GetOptions{})
		if err == nil && !takesPods(node) {
			err = errors.New("it is not ready")
		}
		return err
	})
}

// down implements side.
func (u *upstream) down(ctx context.Context, purge bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
	defer cancel()
	if _, err := os.Stat(u.dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var errs []error
	if u.cluster != nil {
		errs = append(errs, u.cluster.Stop())
		u.cluster = nil
	}
	errs = append(errs,
		cni.Teardown(ctx, u.network()),
		runtime.Teardown(ctx, runtime.TeardownConfig{
			Root: u.root(), State: u.state(), Socket: u.socket(), CgroupParents: []string{"/" + u.id}, Purge: purge,
			Logger: slog.New(slog.DiscardHandler),
		}),
		runtime.UnmountBelow(u.dir),
	)
	if err := errors.Join(errs...); err != nil || !purge {
		return err
	}
	// Its shims listen there, whatever the configuration says. A folder that
	// somebody else uses is not empty, and stays.
	for _, dir := range []string{"/run/containerd/s", "/run/containerd"} {
		_ = os.Remove(dir)
	}
	return os.RemoveAll(u.dir)
}

func (u *upstream) config() string { return filepath.Join(u.dir, "containerd.toml") }

// containerdConfig is upstream's default but for the paths, and for what this
// kernel or this machine's rights cannot do.
func (u *upstream) containerdConfig() string {
	return fmt.Sprintf(`version = 3
root = %q
state = %q

[grpc]
address = %q

[ttrpc]
address = %q

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = %q
Root = %q
`, u.root(), u.state(), u.socket(), u.socket()+".ttrpc", images.Pause,
		filepath.Join(u.binDir, "cni"), u.network().ConfDir, filepath.Join(u.binDir, "runc"), filepath.Join(u.state(), "runc"))
}
