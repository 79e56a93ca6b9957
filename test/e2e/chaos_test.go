package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"proa/test/history"
)

// shortChaos is how long faults last in every run. PROA_MINUTES makes it longer.
const shortChaos = 12 * time.Second

func chaosTime(t *testing.T) time.Duration {
	s := os.Getenv("PROA_MINUTES")
	if s == "" {
		return shortChaos
	}
	minutes, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatalf("PROA_MINUTES: %v", err)
	}
	return time.Duration(minutes * float64(time.Minute))
}

// TestChaos lets a cluster of several nodes fail in every way that a machine can,
// at moments from a seed, while it is used, and holds what users were told against
// what can have happened: "make chaos".
func TestChaos(t *testing.T) {
	t.Parallel()
	n := seed(t)
	c := divided(t, 3)
	c.up()
	u := newFleetUser(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	ledger := &history.Ledger{Seed: n, Pause: 200 * time.Millisecond, Failf: t.Errorf}
	if err := ledger.Open(ctx, u.api); err != nil {
		t.Fatal(err)
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	room := &room{t: t, nodes: map[string]*corev1.Node{}, pods: map[string]*corev1.Pod{}}
	watchers := newChaosWatchers(t, c, room)
	var follow sync.WaitGroup
	for _, w := range watchers {
		follow.Go(func() { w.Run(watching) })
	}
	load := newChaosLoad(u, n)
	acting, stopActing := context.WithCancel(ctx)
	defer stopActing()
	var actors sync.WaitGroup
	for i := range history.LedgerClients {
		actors.Go(func() { ledger.Run(acting, i, c.userIn(t, "default").api) })
	}
	load.run(acting, &actors)

	f := &faults{fleetUser: u, began: time.Now(), random: rand.New(rand.NewPCG(n, 1)), nodes: map[string]affliction{"node-1": none, "node-2": none, "node-3": none}}
	for end := time.Now().Add(chaosTime(t)); time.Now().Before(end) && !t.Failed(); {
		f.strike()
	}
	f.mend()
	f.sayf("all nodes are ready again")
	stopActing()
	actors.Wait()
	f.sayf("%d faults; %d writes acknowledged, %d not", f.count, load.acknowledged, load.unknown)

	load.verify()
	load.converge()
	f.sayf("converged")
	load.silence()
	f.sayf("silent")
	ledger.Check()
	caughtUp(u, watchers)
	stopWatching()
	follow.Wait()
	for i, w := range watchers {
		if w.Resource == "configmaps" {
			w.Tells(load.changes)
		}
		for _, o := range watchers[:i] {
			if o.Resource == w.Resource {
				history.Agree(o, w)
			}
		}
	}
	load.once()
	c.down()
	leavesNothing(t, c)
}

// newChaosWatchers are clients that follow config maps (two of them, to be held
// against each other) and pods.
func newChaosWatchers(t *testing.T, c *cluster, r *room) []*history.Watcher {
	var out []*history.Watcher
	add := func(resource string, list func(context.Context, metav1.ListOptions) (runtime.Object, error), watch func(context.Context, metav1.ListOptions) (watch.Interface, error)) *history.Watcher {
		w := &history.Watcher{Resource: resource, List: list, Watch: watch, Pause: 100 * time.Millisecond, Failf: t.Errorf}
		out = append(out, w)
		return w
	}
	for range 2 {
		core := c.userIn(t, "").api.CoreV1()
		add("configmaps", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.ConfigMaps("").List(ctx, o)
		}, func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return core.ConfigMaps("").Watch(ctx, o)
		})
		w := add("pods", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.Pods("").List(ctx, o)
		},
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return core.Pods("").Watch(ctx, o)
			})
		if len(out) == 2 {
			w.Listed, w.Told = r.listed, r.told
			nodes, err := core.Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range nodes.Items {
				r.nodes[nodes.Items[i].Name] = &nodes.Items[i]
			}
		}
	}
	return out
}

// caughtUp waits until every watcher was told of the newest change of what it
// follows. One more config map is written for that.
func caughtUp(u fleetUser, watchers []*history.Watcher) {
	u.t.Helper()
	last := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: lastConfigMap}}
	if _, err := u.api.CoreV1().ConfigMaps("default").Create(u.t.Context(), last, metav1.CreateOptions{}); err != nil {
		u.t.Fatal(err)
	}
	for _, w := range watchers {
		list, err := w.List(u.t.Context(), metav1.ListOptions{})
		if err != nil {
			u.t.Fatal(err)
		}
		var newest int64
		err = meta.EachListItem(list, func(o runtime.Object) error {
			rev, err := strconv.ParseInt(o.(metav1.Object).GetResourceVersion(), 10, 64)
			newest = max(newest, rev)
			return err
		})
		if err != nil {
			u.t.Fatal(err)
		}
		eventually(u.t, func() string {
			if at := w.UpTo(); at < newest {
				return fmt.Sprintf("a watch of %s is at %d of %d", w.Resource, at, newest)
			}
			return ""
		})
	}
}

// room checks, by one watcher's events in their order, that no node is overcommitted.
// It is called by that watcher only.
type room struct {
	t     *testing.T
	nodes map[string]*corev1.Node
	pods  map[string]*corev1.Pod
}

func (r *room) listed(list runtime.Object) {
	clear(r.pods)
	items := list.(*corev1.PodList).Items
	for i := range items {
		r.set(&items[i])
	}
}

func (r *room) set(p *corev1.Pod) { r.pods[p.Namespace+"/"+p.Name] = p }

func (r *room) told(e watch.Event) {
	p := e.Object.(*corev1.Pod)
	if e.Type == watch.Deleted {
		delete(r.pods, p.Namespace+"/"+p.Name)
		return
	}
	r.set(p)
	n := r.nodes[p.Spec.NodeName]
	if n == nil {
		return
	}
	var bound []*corev1.Pod
	for _, o := range r.pods {
		if o.Spec.NodeName == n.Name {
			bound = append(bound, o)
		}
	}
	if why := history.Crowded(n, bound); why != "" {
		r.t.Errorf("%s is overcommitted at %s: %s", n.Name, p.ResourceVersion, why)
	}
}

// affliction is what a node suffers from.
type affliction int

const (
	none affliction = iota
	stopped
	cutOff
	frozen
)

// faults strike one after the other.
type faults struct {
	fleetUser
	random *rand.Rand
	nodes  map[string]affliction
	frozen proc
	count  int
	began  time.Time
}

// sayf tells what happens, and when.
func (f *faults) sayf(format string, args ...any) {
	f.t.Helper()
	f.t.Logf("%6.2fs "+format, append([]any{time.Since(f.began).Seconds()}, args...)...)
}

// strike makes one more fault, or ends one.
func (f *faults) strike() {
	f.t.Helper()
	time.Sleep(time.Duration(f.random.IntN(2000)) * time.Millisecond) // the moment is random, and waits for nothing
	names := []string{"node-1", "node-2", "node-3"}
	name := names[f.random.IntN(len(names))]
	what := f.random.IntN(4)
	f.count++
	switch {
	case f.nodes[name] != none:
		f.heal(name)
	case what == 0:
		f.sayf("kill the server")
		f.kill()
		time.Sleep(time.Duration(f.random.IntN(1000)) * time.Millisecond)
		f.up()
	case what == 1 && name == "node-1":
		f.sayf("stop and start node-1, with the control plane")
		f.node("stop", name)
		f.node("start", name)
	case what == 1:
		f.sayf("stop %s", name)
		f.node("stop", name)
		f.nodes[name] = stopped
	case what == 2 && name != "node-1" && f.frozen.pid == 0:
		f.sayf("freeze %s", name)
		f.freeze(name)
		f.nodes[name] = frozen
	default:
		f.sayf("cut off %s", name)
		f.node("partition", name)
		f.nodes[name] = cutOff
	}
}

// heal ends what a node suffers from.
func (f *faults) heal(name string) {
	f.t.Helper()
	switch f.nodes[name] {
	case stopped:
		if f.nodes["node-1"] == cutOff {
			f.heal("node-1") // no node can join meanwhile
		}
		f.sayf("start %s", name)
		f.node("start", name)
	case cutOff:
		f.sayf("connect %s", name)
		f.node("heal", name)
	case frozen:
		f.sayf("thaw %s", name)
		f.thaw()
	case none:
	}
	f.nodes[name] = none
}

// freeze stops the agent of a node in its tracks. Its containers run on.
func (f *faults) freeze(name string) {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "d", "nodes", name, "proa.lock"))
	if err != nil {
		f.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		f.t.Fatal(err)
	}
	f.frozen = proc{pid: pid}
	f.frozen.open(f.t)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		f.t.Fatal(err)
	}
	// Else nothing could end it.
	f.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
}

func (f *faults) thaw() {
	f.t.Helper()
	if err := syscall.Kill(f.frozen.pid, syscall.SIGCONT); err != nil {
		f.t.Errorf("the frozen agent has ended: %v", err)
	}
	f.frozen = proc{}
}

// mend ends all faults, and waits until every node is ready.
func (f *faults) mend() {
	f.t.Helper()
	names := []string{"node-1", "node-2", "node-3"}
	for _, n := range names {
		f.heal(n)
	}
	for _, n := range slices.Backward(names) {
		f.nodeIs(n, corev1.ConditionTrue)
	}
}
