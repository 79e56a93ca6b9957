package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"proa/apiserver/apitest"
	"proa/scheduler"
)

// world is an API server with helpers that speak of nodes and pods.
type world struct {
	*testing.T
	env *apitest.Env
	api kubernetes.Interface
	// bindings sees the requests of the scheduler that bind.
	bindings *bindings
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	env := apitest.Start(t)
	return &world{T: t, env: env, api: env.Admin, bindings: &bindings{done: map[string]int{}}}
}

// bindings counts what succeeded by pod, and fails the first few.
type bindings struct {
	mu   sync.Mutex
	fail int
	done map[string]int
	// meet, if set, is asked first about every request of the scheduler.
	meet func(r *http.Request, next http.RoundTripper) (*http.Response, error)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (b *bindings) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if b.meet != nil {
			return b.meet(r, next)
		}
		if !strings.HasSuffix(r.URL.Path, "/binding") {
			return next.RoundTrip(r)
		}
		b.mu.Lock()
		refuse := b.fail > 0
		if refuse {
			b.fail--
		}
		b.mu.Unlock()
		if refuse {
			return nil, errors.New("the network is down")
		}
		resp, err := next.RoundTrip(r)
		if err == nil && resp.StatusCode < 300 {
			b.mu.Lock()
			b.done[strings.Split(r.URL.Path, "/")[6]]++
			b.mu.Unlock()
		}
		return resp, err
	})
}

// schedule runs a scheduler until the returned function is called, or the test
// ends. When that has returned, nothing is under way any more.
func (w *world) schedule() (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	config := w.env.Loopback(apitest.AdminUser)
	config.Wrap(w.bindings.wrap)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		w.Fatal(err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(klog.NewContext(ctx, klog.Logger{})); err != nil {
		w.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	s, err := scheduler.New(scheduler.Config{
		Client: client, Informers: factory, Seed: 1, Log: slog.New(slog.DiscardHandler),
		Events: broadcaster.NewRecorder(scheme.Scheme, scheduler.DefaultName),
	})
	if err != nil {
		w.Fatal(err)
	}
	factory.Start(ctx.Done())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			w.Errorf("scheduler: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		factory.Shutdown()
		broadcaster.Shutdown()
	})
	w.Cleanup(stop)
	return stop
}

// node makes a node with room for that many pods.
func (w *world) node(name string, pods int, change ...func(*v1.Node)) {
	w.Helper()
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, f := range change {
		f(n)
	}
	n, err := w.api.CoreV1().Nodes().Create(w.Context(), n, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	n.Status.Allocatable = v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("8"), v1.ResourceMemory: resource.MustParse("8Gi"),
		v1.ResourcePods: *resource.NewQuantity(int64(pods), resource.DecimalSI),
	}
	n.Status.Capacity = n.Status.Allocatable
	if _, err := w.api.CoreV1().Nodes().UpdateStatus(w.Context(), n, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) pod(name string, change ...func(*v1.Pod)) {
	w.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.Containers = []v1.Container{{Name: "c", Image: "proa.local/hello:1"}}
	for _, f := range change {
		f(p)
	}
	if _, err := w.api.CoreV1().Pods("default").Create(w.Context(), p, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) delete(name string) {
	w.Helper()
	now := int64(0)
	if err := w.api.CoreV1().Pods("default").Delete(w.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(name string) *v1.Pod {
	w.Helper()
	p, err := w.api.CoreV1().Pods("default").Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// until waits until the pod is as wanted.
func (w *world) until(name string, wanted func(*v1.Pod) bool) *v1.Pod {
	w.Helper()
	for {
		p := w.get(name)
		if wanted(p) {
			return p
		}
		if p := w.follow(p, wanted); p != nil {
			return p
		}
	}
}

// follow watches the pod from the given state on. It returns nil where the
// history from there on is not kept (the cache of the server begins at the
// first watch), as it would to any client, which has to read again.
func (w *world) follow(from *v1.Pod, wanted func(*v1.Pod) bool) *v1.Pod {
	w.Helper()
	watch, err := w.api.CoreV1().Pods("default").Watch(w.Context(), metav1.ListOptions{
		ResourceVersion: from.ResourceVersion, FieldSelector: fields.OneTermEqualSelector("metadata.name", from.Name).String(),
	})
	if err != nil {
		w.Fatal(err)
	}
	defer watch.Stop()
	for e := range watch.ResultChan() {
		if p, ok := e.Object.(*v1.Pod); ok && wanted(p) {
			return p
		} else if !ok && apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
			return nil
		}
	}
	w.Fatalf("the watch of pod %s has ended", from.Name)
	return nil
}

func (w *world) bound(name, node string) {
	w.Helper()
	p := w.until(name, func(p *v1.Pod) bool { return p.Spec.NodeName != "" })
	if node != "" && p.Spec.NodeName != node {
		w.Errorf("pod %s is on %s, want %s", name, p.Spec.NodeName, node)
	}
	if c := scheduled(p); c == nil || c.Status != v1.ConditionTrue {
		w.Errorf("pod %s is bound and its condition says %+v", name, c)
	}
}

func (w *world) refused(name, message string) {
	w.Helper()
	p := w.until(name, func(p *v1.Pod) bool { return scheduled(p) != nil })
	if c := scheduled(p); c.Status != v1.ConditionFalse || c.Reason != v1.PodReasonUnschedulable || c.Message != message {
		w.Errorf("pod %s: condition %+v, want %q", name, c, message)
	}
}

func scheduled(p *v1.Pod) *v1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == v1.PodScheduled {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// event waits for an event about the pod.
func (w *world) event(pod, reason string) *eventsv1.Event {
	w.Helper()
	watch, err := w.api.EventsV1().Events("default").Watch(w.Context(), metav1.ListOptions{}) // begins with those that exist
	if err != nil {
		w.Fatal(err)
	}
	defer watch.Stop()
	for got := range watch.ResultChan() {
		if e, ok := got.Object.(*eventsv1.Event); ok && e.Regarding.Name == pod && e.Reason == reason {
			return e
		}
	}
	w.Fatalf("the watch of events has ended")
	return nil
}

func unschedulable(n *v1.Node) { n.Spec.Unschedulable = true }

func TestBinds(t *testing.T) {
	w := newWorld(t)
	w.schedule()
	w.node("a", 10)
	w.pod("p")
	w.bound("p", "a")
	if e := w.event("p", "Scheduled"); e.Note != "Successfully assigned default/p to a" || e.Type != v1.EventTypeNormal || e.Action != "Binding" {
		t.Errorf("event %+v", e)
	}
}

// TestFitsLater: a pod that fits nowhere says so, and is bound as soon as
// something has changed that helps it.
func TestFitsLater(t *testing.T) {
	for name, c := range map[string]struct {
		before  func(*world)
		message string
		help    func(*world)
		node    string
	}{
		"a node is added": {
			before:  func(*world) {},
			message: "no nodes available to schedule pods",
			help:    func(w *world) { w.node("a", 10) }, node: "a",
		},
		"a node is uncordoned": {
			before:  func(w *world) { w.node("a", 10, unschedulable) },
			message: "0/1 nodes are available: 1 node(s) were unschedulable." + afterwards + "1 Preemption is not helpful for scheduling.",
			help: func(w *world) {
				if _, err := w.api.CoreV1().Nodes().Patch(w.Context(), "a", types.MergePatchType, []byte(`{"spec":{"unschedulable":null}}`), metav1.PatchOptions{}); err != nil {
					w.Fatal(err)
				}
			}, node: "a",
		},
		"a pod is deleted": {
			before: func(w *world) {
				w.node("a", 1)
				w.pod("first", func(p *v1.Pod) { p.Spec.NodeName = "a" })
			},
			message: "0/1 nodes are available: 1 Too many pods." + afterwards + "1 No preemption victims found for incoming pod.",
			help:    func(w *world) { w.delete("first") }, node: "a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.before(w)
			w.schedule()
			w.pod("p")
			w.refused("p", c.message)
			if e := w.event("p", "FailedScheduling"); e.Note != c.message || e.Type != v1.EventTypeWarning || e.Action != "Scheduling" {
				t.Errorf("event %+v", e)
			}
			c.help(w)
			w.bound("p", c.node)
		})
	}
}

// afterwards is what upstream says behind the reasons of one node.
const afterwards = " no new claims to deallocate, preemption: 0/1 nodes are available: "

func TestPriorityGoesFirst(t *testing.T) {
	w := newWorld(t)
	w.node("a", 1)
	w.pod("low")
	w.pod("high", func(p *v1.Pod) { n := int32(10); p.Spec.Priority = &n })
	w.schedule()
	w.bound("high", "a")
	w.refused("low", "0/1 nodes are available: 1 Too many pods."+afterwards+"1 No preemption victims found for incoming pod.")
}

func TestFailedBindingIsRetried(t *testing.T) {
	w := newWorld(t)
	w.bindings.fail = 1
	w.node("a", 1)
	w.schedule()
	w.pod("p")
	w.bound("p", "a")
}

// door lets readers through while it is open.
type door struct {
	io.ReadCloser
	open <-chan struct{}
	shut <-chan struct{}
}

// Read implements io.Reader.
func (d *door) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	select {
	case <-d.shut:
		<-d.open
	default:
	}
	return n, err
}

// A binding was made, its answer was lost, and the watch is behind: until it is
// known that the pod is bound, nobody else is given its room.
func TestLostAnswerKeepsTheRoom(t *testing.T) {
	w := newWorld(t)
	w.node("n", 1)
	var (
		asked, refused, shut, open = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
		gone                       atomic.Bool
	)
	told := sync.OnceFunc(func() { close(refused) })
	let := sync.OnceFunc(func() { close(open) })
	w.bindings.meet = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		switch path := strings.TrimPrefix(r.URL.Path, "/api/v1/"); {
		case path == "pods" && r.URL.Query().Get("watch") != "":
			resp, err := next.RoundTrip(r)
			if err == nil {
				resp.Body = &door{resp.Body, open, shut}
			}
			return resp, err
		case path == "namespaces/default/pods/first/binding":
			select {
			case <-shut: // once more
				return next.RoundTrip(r)
			default:
			}
			close(asked)
			<-refused
			close(shut)
			resp, err := next.RoundTrip(r)
			if err != nil || resp.StatusCode >= 300 {
				return resp, err
			}
			_ = resp.Body.Close()
			return nil, errors.New("the connection was lost")
		case path == "namespaces/default/pods/second/status":
			told()
		case path == "namespaces/default/pods/first" && r.Method == http.MethodGet:
			defer let()
		case path == "namespaces/default/pods/second/binding":
			let()
			if !gone.Load() {
				t.Error("the second pod was given the room of the first")
			}
		}
		return next.RoundTrip(r)
	}
	w.schedule()
	w.pod("first")
	<-asked
	w.pod("second")
	w.bound("first", "n")
	<-open
	gone.Store(true)
	w.delete("first")
	w.bound("second", "n")
}

// TestLeavesAlone: pods of another scheduler and pods behind a gate, until it
// is opened.
func TestLeavesAlone(t *testing.T) {
	w := newWorld(t)
	w.node("a", 10)
	w.pod("other", func(p *v1.Pod) { p.Spec.SchedulerName = "other" })
	w.pod("gated", func(p *v1.Pod) { p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "proa.local/wait"}} })
	stop := w.schedule()
	w.pod("ours")
	w.bound("ours", "a")
	stop()
	for _, name := range []string{"other", "gated"} {
		if p := w.get(name); p.Spec.NodeName != "" {
			t.Errorf("pod %s was bound to %s", name, p.Spec.NodeName)
		}
	}
	w.schedule()
	if _, err := w.api.CoreV1().Pods("default").Patch(t.Context(), "gated", types.MergePatchType, []byte(`{"spec":{"schedulingGates":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w.bound("gated", "a")
}

// TestRestart: a scheduler that takes over from one that was stopped in the
// midst of its work binds what is left, and nothing twice or beyond the room.
func TestRestart(t *testing.T) {
	const pods = 40
	w := newWorld(t)
	w.node("a", pods/2)
	w.node("b", pods/2)
	stop := w.schedule()
	for i := range pods {
		w.pod(fmt.Sprint("p", i))
		if i == pods/2 {
			stop()
			w.schedule()
		}
	}
	on := map[string]int{}
	for i := range pods {
		w.bound(fmt.Sprint("p", i), "")
		on[w.get(fmt.Sprint("p", i)).Spec.NodeName]++
	}
	if on["a"] != pods/2 || on["b"] != pods/2 {
		t.Errorf("pods by node: %v", on)
	}
	w.bindings.mu.Lock()
	defer w.bindings.mu.Unlock()
	for name, n := range w.bindings.done {
		if n > 1 {
			t.Errorf("pod %s was bound %d times", name, n)
		}
	}
}

// A pod of higher priority takes the place of the others, and no more of it than it
// needs; a victim knows why it has to go.
func TestPreemption(t *testing.T) {
	w := newWorld(t)
	w.node("a", 2)
	w.pod("important", withPriority(5))
	w.pod("low", withPriority(1), func(p *v1.Pod) { p.Finalizers = []string{"proa.test/hold"} })
	w.schedule()
	w.bound("important", "a")
	w.bound("low", "a")
	w.pod("high", withPriority(10))
	victim := w.until("low", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	if !slices.ContainsFunc(victim.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == v1.PodReasonPreemptionByScheduler &&
			c.Message == "default-scheduler: preempting to accommodate a higher priority pod"
	}) {
		t.Errorf("conditions of the victim: %+v", victim.Status.Conditions)
	}
	high := w.until("high", func(p *v1.Pod) bool { return p.Status.NominatedNodeName == "a" })
	if e := w.event("low", "Preempted"); e.Note != fmt.Sprintf("Preempted by pod %s on node a", high.UID) {
		t.Errorf("event %+v", e)
	}
	// Nobody less important gets the place meanwhile.
	w.pod("late", withPriority(2))
	w.refused("late", "0/1 nodes are available: 1 Too many pods."+afterwards+"1 Too many pods.")
	w.letGo("low")
	w.bound("high", "a")
	if n := w.get("high").Status.NominatedNodeName; n != "" {
		t.Errorf("the bound pod still waits for %q", n)
	}
	if p := w.get("important"); p.DeletionTimestamp != nil {
		t.Error("a pod was evicted that did not have to be")
	}
}

func withPriority(n int32) func(*v1.Pod) { return func(p *v1.Pod) { p.Spec.Priority = &n } }

// letGo takes the finalizers off a pod, and ends it.
func (w *world) letGo(name string) {
	w.Helper()
	if _, err := w.api.CoreV1().Pods("default").Patch(w.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		w.Fatal(err)
	}
	w.delete(name)
}

// Pods keep apart and together as they ask for, also by labels of namespaces that
// change.
func TestAffinityBetweenPods(t *testing.T) {
	w := newWorld(t)
	w.node("a", 9, inZone("x"))
	w.node("b", 9, inZone("y"))
	w.pod("db", labelled("app", "db"), func(p *v1.Pod) { p.Spec.NodeName = "a" })
	w.schedule()
	w.pod("near", labelled("app", "web"), func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{podsWith("app", "db", "zone")}}}
	})
	w.bound("near", "a")
	apart := func(p *v1.Pod) {
		term := podsWith("app", "web", "zone")
		term.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "red"}}
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{
			podsWith("app", "apart", "zone"), term,
		}}}
	}
	w.team("default", "red")
	w.pod("far", labelled("app", "apart"), apart)
	w.bound("far", "b")
	w.pod("nowhere", labelled("app", "apart"), apart)
	w.until("nowhere", func(p *v1.Pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
			return strings.HasPrefix(c.Message, "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.")
		})
	})
	w.team("default", "blue")
	w.bound("nowhere", "a")
}

func (w *world) team(namespace, name string) {
	w.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"team":%q}}}`, name)
	if _, err := w.api.CoreV1().Namespaces().Patch(w.Context(), namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		w.Fatal(err)
	}
}

func labelled(k, v string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Labels = map[string]string{k: v} }
}

func inZone(zone string) func(*v1.Node) {
	return func(n *v1.Node) { n.Labels = map[string]string{"zone": zone} }
}

func podsWith(k, v, topologyKey string) v1.PodAffinityTerm {
	return v1.PodAffinityTerm{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}, TopologyKey: topologyKey}
}
