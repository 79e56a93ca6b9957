package cgroup

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/cgroups/systemd"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Config configures a Manager.
type Config struct {
	// Root is the cgroup under which kubepods is made, "/" if empty. It is
	// made if missing, so that several agents can share a machine.
	Root string
	// Driver is cgroupfs if empty.
	Driver Driver
	// Allocatable is what pods may have of the machine: its capacity less what
	// is reserved for the system and the agent.
	Allocatable corev1.ResourceList
	// NoCPUQuota turns off CFS quotas.
	NoCPUQuota bool
	Log        *slog.Logger
}

// Manager makes, limits and removes cgroups. Safe for concurrent use.
type Manager struct {
	cfg     Config
	root    name
	top     name
	unified bool
	sizes   []string // huge page sizes that can be limited
	swap    bool

	mu      sync.Mutex
	applied map[string]limits
	pods    map[types.UID]member
}

// member is a pod with a cgroup.
type member struct {
	name   name
	shares int64
}

// New finds the hierarchy. It changes nothing.
func New(cfg Config) (*Manager, error) {
	switch cfg.Driver {
	case "":
		cfg.Driver = Cgroupfs
	case Cgroupfs:
	case Systemd:
		if !systemd.IsRunningSystemd() {
			return nil, errors.New("the systemd cgroup driver needs systemd as the init system; use the cgroupfs driver")
		}
	default:
		return nil, fmt.Errorf("unknown cgroup driver %q: use cgroupfs or systemd", cfg.Driver)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		cfg:     cfg,
		unified: cgroups.IsCgroup2UnifiedMode(),
		applied: map[string]limits{},
		pods:    map[types.UID]member{},
	}
	for part := range strings.SplitSeq(cfg.Root, "/") {
		switch part {
		case "", ".":
		case "..":
			return nil, fmt.Errorf("cgroup root %q must not contain ..", cfg.Root)
		default:
			m.root = append(m.root, part)
		}
	}
	m.top = m.root.child(topName)
	paths, err := m.paths(m.top)
	if err != nil {
		return nil, fmt.Errorf("find the cgroup hierarchy: %w", err)
	}
	if !m.unified {
		if _, ok := paths["cpu"]; !ok {
			return nil, errors.New("no cpu cgroup is mounted: mount the cgroup file system on /sys/fs/cgroup")
		}
		if _, ok := paths["memory"]; !ok {
			return nil, errors.New("no memory cgroup is mounted: mount it below /sys/fs/cgroup or boot with cgroup_enable=memory")
		}
	}
	if _, ok := paths["hugetlb"]; ok || m.unified {
		m.sizes = cgroups.HugePageSizes()
	}
	for _, f := range []string{filepath.Join(paths["memory"], "..", "memory.memsw.limit_in_bytes"), filepath.Join(paths[""], "..", "memory.swap.max")} {
		// The parent may be the root, which on v2 has no such file of its own;
		// there what the kernel says of swap accounting has to do.
		if _, err := os.Stat(f); err == nil {
			m.swap = true
		}
	}
	if m.unified && !m.swap {
		m.swap = v2Swap()
	}
	return m, nil
}

// v2Swap looks at any cgroup below the root of v2.
func v2Swap() bool {
	found, err := filepath.Glob("/sys/fs/cgroup/*/memory.swap.max")
	return err == nil && len(found) > 0
}

// Swap says whether swap can be limited here.
func (m *Manager) Swap() bool { return m.swap }

// Unified says whether the machine runs cgroup v2.
func (m *Manager) Unified() bool { return m.unified }

// HugePageSizes are the page sizes that can be limited, as CRI names them.
func (m *Manager) HugePageSizes() []string { return slices.Clone(m.sizes) }

// Start makes kubepods and its tiers and limits them. Idempotent.
func (m *Manager) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	top := topLimits(m.cfg.Allocatable, m.sizes)
	if err := m.apply(m.top, top); err != nil {
		return fmt.Errorf("limit pods to what is allocatable: %w", err)
	}
	for _, c := range []corev1.PodQOSClass{corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		if err := m.apply(tier(m.top, c), limits{shares: minShares}); err != nil {
			return err
		}
	}
	return nil
}

// PodParent is the CRI cgroup_parent of the pod. Pure.
func (m *Manager) PodParent(pod *corev1.Pod) string {
	return m.podName(pod).path(m.cfg.Driver)
}

func (m *Manager) podName(pod *corev1.Pod) name {
	return tier(m.top, QOS(pod)).child(podPrefix + string(pod.UID))
}

// EnsurePod makes and limits the pod's cgroup and returns the CRI
// cgroup_parent. Idempotent, and cheap when nothing changed.
func (m *Manager) EnsurePod(pod *corev1.Pod) (parent string, err error) {
	n := m.podName(pod)
	l := podLimits(pod, m.cfg.NoCPUQuota, m.sizes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.apply(n, l); err != nil {
		return "", fmt.Errorf("cgroup of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	m.pods[pod.UID] = member{n, l.shares}
	if err := m.weighBurstable(); err != nil {
		return "", err
	}
	return n.path(m.cfg.Driver), nil
}

// MemoryUsage is how much memory the pod uses, in bytes.
func (m *Manager) MemoryUsage(pod *corev1.Pod) (uint64, error) {
	paths, err := m.paths(m.podName(pod))
	if err != nil {
		return 0, err
	}
	file := filepath.Join(paths["memory"], "memory.usage_in_bytes")
	if m.unified {
		file = filepath.Join(paths[""], "memory.current")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// weighBurstable gives the burstable tier the weight of its pods together.
// Callers hold mu.
func (m *Manager) weighBurstable() error {
	t := tier(m.top, corev1.PodQOSBurstable)
	var sum int64
	for _, p := range m.pods {
		if len(p.name) == len(t)+1 && p.name[len(t)-1] == t[len(t)-1] {
			sum += p.shares
		}
	}
	return m.apply(t, limits{shares: min(max(sum, minShares), maxShares)})
}

// apply makes a cgroup and writes its limits, if they are not what was written
// last. Callers hold mu.
func (m *Manager) apply(n name, l limits) error {
	key := n.fs()
	if have, ok := m.applied[key]; ok && have == l {
		return nil
	}
	cg, err := m.manager(n, l)
	if err != nil {
		return err
	}
	if err := cg.Apply(-1); err != nil {
		return fmt.Errorf("make cgroup %s: %w", n.path(m.cfg.Driver), err)
	}
	if err := cg.Set(l.resources(m.unified)); err != nil {
		return fmt.Errorf("limit cgroup %s: %w", n.path(m.cfg.Driver), err)
	}
	m.applied[key] = l
	return nil
}

func (m *Manager) manager(n name, l limits) (cgroups.Manager, error) {
	c := &cgroups.Cgroup{Resources: l.resources(m.unified)}
	if m.cfg.Driver == Systemd {
		c.Systemd = true
		c.Parent, c.Name = filepath.Base(n[:len(n)-1].systemd()), filepath.Base(n.systemd())
		if len(n) == 1 {
			c.Parent = "-.slice"
		}
	} else {
		c.Path = n.fs()
	}
	return manager.New(c)
}

// paths are the directories of a cgroup by controller ("" on v2).
func (m *Manager) paths(n name) (map[string]string, error) {
	cg, err := m.manager(n, limits{})
	if err != nil {
		return nil, err
	}
	return cg.GetPaths(), nil
}

// RemovePod kills what is left in the pod's cgroup and removes it from every
// tier. A missing cgroup is no error.
func (m *Manager) RemovePod(uid types.UID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	// The class may have been another when it was made, and after a restart
	// it is not known at all.
	for _, c := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		n := tier(m.top, c).child(podPrefix + string(uid))
		if known, ok := m.pods[uid]; ok && known.name.fs() != n.fs() {
			continue
		}
		if err := m.remove(n); err != nil {
			return fmt.Errorf("remove cgroup %s: %w", n.path(m.cfg.Driver), err)
		}
	}
	if _, known := m.pods[uid]; !known {
		return nil
	}
	delete(m.pods, uid)
	return m.weighBurstable()
}

// Pods lists the pods that have a cgroup, for the clean-up of orphans.
func (m *Manager) Pods() ([]types.UID, error) {
	var out []types.UID
	for _, c := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		paths, err := m.paths(tier(m.top, c))
		if err != nil {
			return nil, err
		}
		for _, dir := range paths {
			// One hierarchy may hold what a crash left while others do not.
			entries, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			for _, e := range entries {
				if uid := podOf(e.Name(), m.cfg.Driver); e.IsDir() && uid != "" {
					out = append(out, uid)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Destroy removes everything that Start made, pods' cgroups and their
// processes too.
func (m *Manager) Destroy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.remove(m.top); err != nil {
		return fmt.Errorf("remove cgroup %s: %w", m.top.path(m.cfg.Driver), err)
	}
	clear(m.pods)
	clear(m.applied)
	if len(m.root) == 0 {
		return nil
	}
	// Ours if nothing else is in it; the kernel refuses otherwise.
	paths, err := m.paths(m.root)
	if err != nil {
		return err
	}
	for _, dir := range paths {
		_ = os.Remove(dir)
	}
	return nil
}
