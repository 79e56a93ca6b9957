package simulate

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	randv2 "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"proa/apiserver/local"
	"proa/apiserver/managed"
	"proa/auth"
	"proa/cache"
	"proa/cluster"
	"proa/node/hollow"
	"proa/pki"
	"proa/store"
	"proa/store/memory"
)

// world is one run.
type world struct {
	t       *testing.T
	plan    plan
	log     *slog.Logger
	began   time.Time
	store   *memory.Store
	network *network
	clock   *skewed
	pki     *pki.Authority
	fleet   *hollow.Fleet
	audit   *audit

	mu      sync.Mutex
	gate    *gate // of the present control plane
	planes  int
	calming bool
	// where is the node on which the containers of a pod run, or have run.
	where map[types.UID]string
	// identities are the pods that run by the name that their set gave them, and
	// careless those that somebody deleted without waiting for their node.
	identities map[string]types.UID
	careless   map[types.UID]bool
	ops        uint64 // of the store, so far
}

// tracker is shared by all control planes: parsing its schema takes longer than
// starting one.
var tracker = sync.OnceValue(func() *managed.Tracker {
	return managed.New(managed.StandardTypes)
})

// everyone may do everything; what is simulated is users, not their rights.
var everyone = &auth.User{Name: "simulated-user", Groups: []string{auth.GroupMasters, auth.GroupAuthenticated}}

func newWorld(t *testing.T, p plan, log *slog.Logger) *world {
	authority, err := pki.OpenFiles(files{}, clock.RealClock{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, plan: p, log: log, began: time.Now(), pki: authority,
		network: &network{seed: p.seed, odds: p.network}, clock: &skewed{},
		where: map[types.UID]string{}, identities: map[string]types.UID{}, careless: map[types.UID]bool{},
	}
	w.audit = newAudit(w)
	w.store = memory.New(memory.Options{Fault: w.storeFault, Observe: w.audit.see})
	return w
}

// failf reports a broken rule.
func (w *world) failf(format string, args ...any) {
	w.t.Errorf("after %v: %s", time.Since(w.began).Round(time.Millisecond), fmt.Sprintf(format, args...))
}

// note tells the story of a run.
func (w *world) note(format string, args ...any) {
	w.log.Info("simulation: " + fmt.Sprintf(format, args...))
}

// storeFault decides over every operation of the store.
func (w *world) storeFault(op memory.Op) memory.Fault {
	w.mu.Lock()
	odds := w.plan.store
	if w.calming || w.planes == 0 {
		odds.refused, odds.lost, odds.slow = 0, 0, 0
	}
	w.ops++
	r := fate(w.plan.seed, 3, w.ops)
	w.mu.Unlock()
	verdict := r.IntN(1000)
	switch {
	case verdict < odds.refused:
		return memory.Fault{Err: store.ErrUnavailable}
	case verdict < odds.refused+odds.lost && slices.Contains(memory.Writes, op.Kind):
		f := memory.Fault{Err: store.ErrUncertain, Applied: r.IntN(2) == 0}
		if f.Applied {
			w.audit.untold(op.Key)
		}
		return f
	case verdict < odds.refused+odds.lost+odds.slow:
		return memory.Fault{Delay: time.Duration(r.Int64N(int64(odds.delay)))}
	}
	return memory.Fault{}
}

// runPlanes keeps a control plane running until ctx ends: when one dies, the
// next starts over the same store a little later.
func (w *world) runPlanes(ctx context.Context) {
	r := randv2.New(randv2.NewPCG(w.plan.seed, 4))
	for ctx.Err() == nil {
		w.runPlane(ctx, r)
		_ = sleep(ctx, time.Duration(r.IntN(10_000))*time.Millisecond)
	}
}

func (w *world) runPlane(ctx context.Context, r *randv2.Rand) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := &gate{Store: w.store, random: randv2.New(randv2.NewPCG(w.plan.seed, r.Uint64())), lag: w.plan.lag, writes: -1,
		died: make(chan struct{}), gaps: w.audit.forgotten}
	if w.plan.crashEvery > 0 {
		g.writes = 1 + r.IntN(2*w.plan.crashEvery)
	}
	w.mu.Lock()
	w.gate = g
	w.planes++
	n := w.planes
	if w.calming {
		g.lag, g.writes = 0, -1
	}
	w.mu.Unlock()
	w.note("control plane %d starts; it dies after %d writes", n, g.writes)
	var dying sync.WaitGroup
	dying.Go(func() {
		select {
		case <-g.died:
			w.network.disconnect()
			cancel()
		case <-ctx.Done():
		}
	})
	var hub *cache.Hub
	plane := &cluster.ControlPlane{
		Store: g, Authority: w.pki, Clock: w.clock, Seed: w.plan.seed, Managed: tracker(), Guard: 1024, Log: w.log.With("plane", n),
		Answering: func(h http.Handler, c *cache.Hub) {
			hub = c
			w.network.connect(ctx, h)
		},
	}
	err := plane.Run(ctx)
	g.kill()
	w.network.disconnect()
	cancel()
	dying.Wait()
	if hub != nil {
		if bad := hub.Mutated(); len(bad) > 0 {
			w.failf("objects of the cache were changed in place: %v", bad)
		}
	}
	w.note("control plane %d has ended: %v", n, err)
}

// config reaches the API server over the network.
func (w *world) config(agent string) *rest.Config {
	c := local.Config(nil, nil, agent)
	c.Transport = &client{network: w.network, user: everyone}
	return c
}

// clients of a user.
func (w *world) clients(agent string) *kubernetes.Clientset {
	k, err := kubernetes.NewForConfig(w.config(agent))
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// dynamic is a client for custom resources.
func (w *world) dynamic(agent string) *dynamic.DynamicClient {
	c := w.config(agent)
	c.ContentType, c.AcceptContentTypes = "", "" // JSON
	d, err := dynamic.NewForConfig(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// runFleet runs the nodes until ctx ends.
func (w *world) runFleet(ctx context.Context, started chan<- struct{}) {
	k := w.clients("kubelet")
	shared := informers.NewSharedInformerFactoryWithOptions(k, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		if o.ResourceVersion == "0" {
			o.ResourceVersion = ""
		}
	}))
	machine := hollow.Machine{CPUs: 4, Memory: 8 << 30, Disk: 10 << 30, MaxPods: 16}
	timing := hollow.DefaultTiming()
	timing.Ready = time.Second
	var err error
	w.fleet, err = hollow.New(hollow.Config{
		Names: hollow.Names(w.plan.nodes), Machine: machine, Timing: timing, Client: k, Informers: shared,
		Clock: clock.RealClock{}, Log: w.log, Ran: w.ran,
	})
	if err != nil {
		w.failf("%v", err)
		return
	}
	shared.Start(ctx.Done())
	defer shared.Shutdown()
	close(started)
	if err := w.fleet.Run(ctx); err != nil && ctx.Err() == nil {
		w.failf("hollow nodes: %v", err)
	}
}

// ran holds every start of a pod's containers against those before it.
func (w *world) ran(node string, pod types.UID, running bool) {
	identity := w.audit.identity(pod)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !running {
		if w.identities[identity] == pod {
			delete(w.identities, identity)
		}
		return
	}
	if identity != "" {
		if other, ok := w.identities[identity]; ok && !w.careless[other] {
			w.failf("%s begins to run on %s as %s while it runs on %s as %s", identity, node, pod, w.where[other], other)
		}
		w.identities[identity] = pod
	}
	if was, ok := w.where[pod]; ok {
		w.failf("pod %s begins to run on %s, and has run on %s before", pod, node, was)
	}
	w.where[pod] = node
}

// present gate, or nil.
func (w *world) present() *gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gate
}

// happen lets the events of the plan come.
func (w *world) happen(ctx context.Context) {
	for _, e := range w.plan.events {
		if sleep(ctx, e.after) != nil {
			return
		}
		w.note("%v (node %d, by %v)", e.what, e.node, e.by)
		name := hollow.Names(w.plan.nodes)[e.node]
		switch e.what {
		case cutStore:
			w.store.CutWatches(store.ErrUnavailable)
		case cutClients:
			w.network.cut()
		case compact:
			w.compact(ctx)
		case cutAndCompact:
			// In this order the hub's position may be forgotten before it
			// watches again.
			w.store.CutWatches(store.ErrUnavailable)
			w.compact(ctx)
		case nodeStop:
			w.fleet.Stop(name)
		case nodeStart:
			w.fleet.Start(name)
		case jump:
			w.clock.jump(e.by)
		case killPlane:
			if g := w.present(); g != nil {
				g.kill()
			}
		}
	}
}

func (w *world) compact(ctx context.Context) {
	rev, err := w.store.Revision(context.WithoutCancel(ctx))
	if err == nil && rev > 1 {
		_ = w.store.Compact(ctx, rev) // a fault may refuse it
	}
}

// calm ends all faults.
func (w *world) calm() {
	w.mu.Lock()
	w.calming = true
	if w.gate != nil {
		w.gate.calm()
	}
	w.mu.Unlock()
	w.network.calm()
	for _, name := range hollow.Names(w.plan.nodes) {
		w.fleet.Start(name)
	}
}

// skewed is the clock of the control plane. Its timers are right, but what it
// says jumps.
type skewed struct {
	clock.RealClock
	mu   sync.Mutex
	off  time.Duration
	last time.Time
}

func (c *skewed) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += by
	c.last = time.Now()
}

// jumped is when the control plane's clock has jumped last.
func (w *world) jumped() time.Time {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	return w.clock.last
}

// Now implements clock.Clock.
func (c *skewed) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

// Since implements clock.Clock.
func (c *skewed) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// files keeps the PKI in memory.
type files map[string][]byte

// Read implements pki.Files.
func (f files) Read(name string) ([]byte, error) {
	b, ok := f[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// Write implements pki.Files.
func (f files) Write(name string, data []byte, _ bool) error {
	f[name] = data
	return nil
}
