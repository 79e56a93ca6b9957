package hollow

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"proa/controller"
)

// Config of a fleet.
type Config struct {
	// Names of the nodes; see Names.
	Names   []string
	Machine Machine
	Timing  Timing
	// Client writes. Its requests carry the name of the node that they are to
	// be made by; see NodeOf.
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Clock     clock.WithTicker
	Log       *slog.Logger
	// Workers is how many requests are under way at once. Default 32.
	Workers int
	// Ran is told when the containers of a pod begin to run on a node, and when
	// they have ended. May be nil.
	Ran func(node string, pod types.UID, running bool)
}

// Names returns n names of nodes.
func Names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "hollow-" + strconv.Itoa(i)
	}
	return names
}

// Fleet is many nodes. Make one with New, before the informers are started, and
// call Run once.
type Fleet struct {
	config Config
	nodes  map[string]*node // not changed after New
	lister corelisters.NodeLister
	loop   *controller.Loop[key]
}

// key is a node, or a pod of it.
type key struct {
	node string
	pod  types.UID // empty: the node itself
}

// node is one node of a fleet. The queue never hands out one key twice at a
// time, so what belongs to a key alone is not locked.
type node struct {
	index int
	facts facts

	mu      sync.Mutex
	pods    map[types.UID]*guest
	taken   slots
	stopped bool

	// Of the key of the node.
	beats   beats
	lease   *coordinationv1.Lease
	written *v1.Node // newer than the informer's, or nil
	judged  *v1.Node // found right when last looked at
}

// guest is a pod that is bound to a node.
type guest struct {
	pod *v1.Pod // newest known; guarded by the node's lock
	// Of the key of the pod; read under the lock by those who count.
	life life
	// removed: the final delete was answered.
	removed bool
	// lost: the API has no such pod any more, and the informer does not know.
	lost     bool
	failures int
}

// New makes a fleet and registers it with the informers of nodes and pods.
func New(c Config) (*Fleet, error) {
	if len(c.Names) > MaxNodes {
		return nil, fmt.Errorf("%d hollow nodes are too many: there are addresses for %d", len(c.Names), MaxNodes)
	}
	if c.Workers == 0 {
		c.Workers = 32
	}
	f := &Fleet{config: c, nodes: make(map[string]*node, len(c.Names)), lister: c.Informers.Core().V1().Nodes().Lister()}
	for i, name := range c.Names {
		f.nodes[name] = &node{index: i, facts: c.Machine.facts(name, i)}
	}
	f.loop = controller.NewLoop("hollow-nodes", controller.Env{Clock: c.Clock, Log: c.Log}, c.Workers, f.reconcile)
	err := controller.Observe(f.loop, c.Informers.Core().V1().Pods().Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { f.set(o.(*v1.Pod)) },
		UpdateFunc: func(before, after any) {
			old, p := before.(*v1.Pod), after.(*v1.Pod)
			if old.UID != p.UID {
				// Deleted and made anew while the watch was down.
				f.gone(old)
			}
			f.set(p)
		},
		DeleteFunc: func(o any) {
			if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			if p, ok := o.(*v1.Pod); ok {
				f.gone(p)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("hollow nodes: %w", err)
	}
	err = controller.Observe(f.loop, c.Informers.Core().V1().Nodes().Informer(), cache.ResourceEventHandlerFuncs{})
	if err != nil {
		return nil, fmt.Errorf("hollow nodes: %w", err)
	}
	return f, nil
}

// Run keeps the nodes until ctx ends. They register at once.
func (f *Fleet) Run(ctx context.Context) error {
	for _, name := range f.config.Names {
		f.loop.Add(key{node: name})
	}
	return f.loop.Run(ctx)
}

// Stop makes a node fall silent, as if its agent had been killed. Its
// containers go on.
func (f *Fleet) Stop(name string) { f.setStopped(name, true) }

// Start lets a stopped node go on.
func (f *Fleet) Start(name string) { f.setStopped(name, false) }

func (f *Fleet) setStopped(name string, stopped bool) {
	n := f.nodes[name]
	if n == nil {
		return
	}
	n.mu.Lock()
	n.stopped = stopped
	keys := []key{{node: name}}
	for uid := range n.pods {
		keys = append(keys, key{name, uid})
	}
	n.mu.Unlock()
	if stopped {
		return
	}
	for _, k := range keys {
		f.loop.Add(k)
	}
}

// set takes in a state of a pod.
func (f *Fleet) set(p *v1.Pod) {
	n := f.nodes[p.Spec.NodeName]
	if n == nil {
		return
	}
	n.mu.Lock()
	g := n.pods[p.UID]
	if g == nil {
		if n.pods == nil {
			n.pods = map[types.UID]*guest{}
		}
		g = &guest{life: life{slot: -1}}
		n.pods[p.UID] = g
		if k := slotOf(n.index, p.Status.PodIP); k >= 0 && !terminal(p) {
			n.taken.hold(k) // before anybody else asks for an address
		}
	}
	known := g.pod != nil && g.pod.ResourceVersion == p.ResourceVersion
	if g.pod == nil || !newer(g.pod.ResourceVersion, p.ResourceVersion) {
		// One of the same revision is the informer's, which others hold too.
		g.pod = p
	}
	n.mu.Unlock()
	if !known {
		f.loop.Add(key{p.Spec.NodeName, p.UID})
	}
}

// gone takes in the end of a pod.
func (f *Fleet) gone(p *v1.Pod) {
	n := f.nodes[p.Spec.NodeName]
	if n == nil {
		return
	}
	n.mu.Lock()
	if g := n.pods[p.UID]; g != nil {
		g.pod = nil
	}
	n.mu.Unlock()
	f.loop.Add(key{p.Spec.NodeName, p.UID})
}

// newer reports whether revision a is after b.
func newer(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x > y
}

// Waits between attempts that fail.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func (f *Fleet) reconcile(ctx context.Context, k key) (controller.Result, error) {
	n := f.nodes[k.node]
	n.mu.Lock()
	stopped := n.stopped
	n.mu.Unlock()
	if stopped {
		return controller.Done, nil
	}
	ctx = withNode(ctx, k.node)
	if k.pod == "" {
		return f.reconcileNode(ctx, k.node, n), nil
	}
	return f.reconcilePod(ctx, k, n), nil
}
