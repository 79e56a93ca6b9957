package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"proa/node/cri"
	"proa/node/volume/objects"
)

// Config configures a Manager.
type Config struct {
	// Root is the agent's directory (/var/lib/kubelet).
	Root string
	// NodeName is this node's.
	NodeName string
	// Allocatable stands for limits that a container does not have, in the
	// downward API and as the bound of volumes in memory.
	Allocatable corev1.ResourceList
	// NodeLabels are the node's labels, for the affinity of local volumes; nil
	// checks the host name only.
	NodeLabels func() map[string]string
	// Client resolves claims and requests tokens; nil on an agent without an
	// API server, where pods that need it fail with a message.
	Client kubernetes.Interface
	// Objects caches ConfigMaps and Secrets; nil without an API server.
	Objects *objects.Cache
	// Image makes the image of an image volume present and returns its
	// reference; nil refuses such volumes.
	Image func(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (ref string, err error)
	// Event records an event on a pod; may be nil.
	Event func(pod *corev1.Pod, eventType, reason, message string)
	// Changed, if not nil, is told of pods whose ConfigMaps or Secrets appeared
	// or changed, after their volumes were refreshed, so that a pod that waits
	// for one is tried again at once. It must be quick.
	Changed func(uid types.UID)
	Clock   clock.WithTicker
	Log     *slog.Logger
}

// Manager sets up and tears down the volumes of the node's pods. Safe for
// concurrent use; calls for one pod wait for each other.
type Manager struct {
	cfg    Config
	tokens *tokens
	queue  workqueue.TypedRateLimitingInterface[types.UID]

	mu   sync.Mutex
	pods map[types.UID]*podState
}

// podState is what is remembered of a pod between calls. All of it can be lost.
type podState struct {
	mu    sync.Mutex // serialises the pod's calls
	pod   *corev1.Pod
	gone  bool
	ready bool
	// made is how volumes were last made, by volume name.
	made map[string]made
	// told is the last failure that was recorded as an event, by volume name.
	told map[string]failure
}

// made is where a volume is and what it was made from.
type made struct {
	where cri.Volume
	stamp string
}

type failure struct {
	message string
	at      time.Time
	pause   time.Duration
}

const (
	workers = 2
	// busyPause is when a pod is looked at again that is being set up.
	busyPause = 200 * time.Millisecond
	// A failure that lasts is recorded again at growing intervals.
	tellFirst = 500 * time.Millisecond
	tellMax   = 2*time.Minute + 2*time.Second
)

// New makes a Manager. Nothing runs before Run.
func New(cfg Config) (*Manager, error) {
	if !filepath.IsAbs(cfg.Root) {
		return nil, fmt.Errorf("volume manager: root %q is not an absolute path", cfg.Root)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, pods: map[types.UID]*podState{}}
	m.tokens = newTokens(cfg.Client, cfg.Clock)
	m.queue = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](time.Second, 2*time.Minute),
		workqueue.TypedRateLimitingQueueConfig[types.UID]{Clock: cfg.Clock})
	if cfg.Objects != nil {
		cfg.Objects.OnChange(m.objectsChanged)
	}
	return m, nil
}

// Run refreshes volumes as their sources change, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for m.refreshNext(ctx) {
			}
		})
	}
	<-ctx.Done()
	m.queue.ShutDown()
	wg.Wait()
	return nil
}

func (m *Manager) objectsChanged(pods []types.UID) {
	for _, uid := range pods {
		m.mu.Lock()
		st := m.pods[uid]
		m.mu.Unlock()
		if st == nil {
			continue
		}
		m.queue.Add(uid)
	}
}

// refreshNext brings the volumes of one queued pod up to date.
func (m *Manager) refreshNext(ctx context.Context) bool {
	uid, quit := m.queue.Get()
	if quit {
		return false
	}
	defer m.queue.Done(uid)
	m.mu.Lock()
	st := m.pods[uid]
	m.mu.Unlock()
	if st == nil {
		m.queue.Forget(uid)
		return true
	}
	if !st.mu.TryLock() {
		// The pod's own goroutine is at it, perhaps waiting; others shall not.
		m.queue.AddAfter(uid, busyPause)
		return true
	}
	defer st.mu.Unlock()
	if st.gone {
		m.queue.Forget(uid)
		return true
	}
	if m.cfg.Changed != nil {
		defer m.cfg.Changed(uid)
	}
	if !st.ready {
		// The pod's own goroutine tries and reports; it only needs waking.
		m.queue.Forget(uid)
		return true
	}
	if _, err := m.setup(ctx, st, st.pod); err != nil {
		m.cfg.Log.Warn("refresh volumes", "pod", cri.PodString(st.pod), "err", err)
		m.queue.AddRateLimited(uid)
		return true
	}
	m.queue.Forget(uid)
	return true
}

// state finds or makes what is remembered of a pod.
func (m *Manager) state(uid types.UID) *podState {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.pods[uid]
	if st == nil {
		st = &podState{made: map[string]made{}, told: map[string]failure{}}
		m.pods[uid] = st
	}
	return st
}

// Setup makes every volume of the pod present and returns where, by volume
// name. Idempotent: call it on every sync of the pod (it is cheap when nothing
// changed), also with a newer version of the pod. The error names the volumes
// that failed and why; each has been recorded as a FailedMount event.
func (m *Manager) Setup(ctx context.Context, pod *corev1.Pod) (map[string]cri.Volume, error) {
	if err := checkUID(pod.UID); err != nil {
		return nil, err
	}
	for {
		st := m.state(pod.UID)
		st.mu.Lock()
		if st.gone { // torn down meanwhile; this is a new life
			st.mu.Unlock()
			continue
		}
		st.pod = pod
		if m.cfg.Objects != nil {
			m.cfg.Objects.Register(pod)
		}
		out, err := m.setup(ctx, st, pod)
		st.ready = err == nil
		st.mu.Unlock()
		return out, err
	}
}

// setup does all volumes, going on past failures. The caller holds st.mu.
func (m *Manager) setup(ctx context.Context, st *podState, pod *corev1.Pod) (map[string]cri.Volume, error) {
	out := make(map[string]cri.Volume, len(pod.Spec.Volumes))
	var errs []error
	var refresh time.Time
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		j := &job{Manager: m, ctx: ctx, pod: pod, volume: v, last: st.made[v.Name]}
		where, err := j.setup()
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			delete(st.made, v.Name)
			err = fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
			m.tell(st, pod, v.Name, err)
			errs = append(errs, err)
			continue
		}
		delete(st.told, v.Name)
		st.made[v.Name] = made{where, j.stamp}
		out[v.Name] = where
		if !j.refresh.IsZero() && (refresh.IsZero() || j.refresh.Before(refresh)) {
			refresh = j.refresh
		}
	}
	if !refresh.IsZero() {
		m.queue.AddAfter(pod.UID, max(refresh.Sub(m.cfg.Clock.Now()), time.Second))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// tell records a failure as an event, a repeated one less and less often.
func (m *Manager) tell(st *podState, pod *corev1.Pod, volume string, err error) {
	now := m.cfg.Clock.Now()
	last, ok := st.told[volume]
	if ok && last.message == err.Error() && now.Sub(last.at) < last.pause {
		return
	}
	pause := tellFirst
	if ok {
		pause = min(2*last.pause, tellMax)
	}
	st.told[volume] = failure{err.Error(), now, pause}
	if m.cfg.Event != nil {
		m.cfg.Event(pod, corev1.EventTypeWarning, "FailedMount", err.Error())
	}
}

// podDir is the pod's directory; volumeDir one volume's.
func (m *Manager) podDir(uid types.UID) string { return cri.PodDir(m.cfg.Root, uid) }

func (m *Manager) volumeDir(uid types.UID, kind, name string) string {
	return filepath.Join(m.podDir(uid), "volumes", "kubernetes.io~"+kind, name)
}

// checkUID guards the paths made from a UID.
func checkUID(uid types.UID) error {
	s := string(uid)
	if s == "" || s == "." || s == ".." || filepath.Base(s) != s {
		return fmt.Errorf("pod UID %q cannot name a directory", s)
	}
	return nil
}

// Orphans lists the pods that have a directory on disk and are not known;
// after a restart the agent tears them down.
func (m *Manager) Orphans(known func(types.UID) bool) ([]types.UID, error) {
	entries, err := os.ReadDir(filepath.Join(m.cfg.Root, "pods"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []types.UID
	for _, e := range entries {
		if uid := types.UID(e.Name()); e.IsDir() && !known(uid) {
			out = append(out, uid)
		}
	}
	return out, nil
}
