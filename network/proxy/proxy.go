package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	clientcache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"
)

// DefaultTable is the name of the nftables tables, one per family.
const DefaultTable = "proa-services"

// Config is what a proxy is made of.
type Config struct {
	// Informers for Services, EndpointSlices and Nodes. Run starts them.
	Informers informers.SharedInformerFactory
	// NodeName is the node that the proxy works for.
	NodeName string
	// ClusterCIDRs are the addresses of pods. A client outside of them is
	// masqueraded when it uses a cluster IP. Empty: nobody is.
	ClusterCIDRs []netip.Prefix
	// Table is the name of the nftables tables. Default DefaultTable.
	Table string
	Log   *slog.Logger
}

// Proxy programs one node.
type Proxy struct {
	config   Config
	services corelisters.ServiceLister
	slices   clientcache.Indexer
	nodes    corelisters.NodeLister
	synced   []clientcache.InformerSynced
	tables   []*table
	flows    flows
	health   *health

	mu    sync.Mutex
	dirty map[types.NamespacedName]bool
	wake  chan struct{} // has room for one: there is something dirty

	// Owned by Run.
	node  Node
	state *state
	ready chan struct{}
}

// byService indexes EndpointSlices by the service that they belong to.
const byService = "service"

// New makes a proxy. It fails where nftables cannot be used.
func New(c Config) (*Proxy, error) {
	if c.Table == "" {
		c.Table = DefaultTable
	}
	p := &Proxy{
		config: c, state: newState(), flows: kernelFlows{}, health: newHealth(c.Log),
		dirty: map[types.NamespacedName]bool{}, wake: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	for _, f := range []knftables.Family{knftables.IPv4Family, knftables.IPv6Family} {
		nft, err := knftables.New(f, c.Table)
		if err != nil {
			return nil, fmt.Errorf("service proxy: nftables (package nftables): %w", err)
		}
		p.tables = append(p.tables, newTable(nft, f == knftables.IPv6Family, c.ClusterCIDRs))
	}
	return p, p.watch()
}

// watch registers for the events that make services dirty.
func (p *Proxy) watch() error {
	services := p.config.Informers.Core().V1().Services()
	slices := p.config.Informers.Discovery().V1().EndpointSlices().Informer()
	nodes := p.config.Informers.Core().V1().Nodes()
	p.services, p.nodes = services.Lister(), nodes.Lister()
	if err := slices.AddIndexers(clientcache.Indexers{byService: func(o any) ([]string, error) {
		name, ok := serviceOf(o)
		if !ok {
			return nil, nil
		}
		return []string{name.String()}, nil
	}}); err != nil {
		return fmt.Errorf("service proxy: %w", err)
	}
	p.slices = slices.GetIndexer()
	var errs []error
	add := func(informer clientcache.SharedIndexInformer, f func(any)) {
		r, err := informer.AddEventHandler(clientcache.ResourceEventHandlerFuncs{
			AddFunc: f, UpdateFunc: func(old, new any) { f(old); f(new) }, DeleteFunc: f,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("service proxy: %w", err))
			return
		}
		p.synced = append(p.synced, r.HasSynced)
	}
	add(services.Informer(), func(o any) {
		if s, ok := last(o).(*v1.Service); ok {
			p.touch(types.NamespacedName{Namespace: s.Namespace, Name: s.Name})
		}
	})
	add(slices, func(o any) {
		if name, ok := serviceOf(last(o)); ok {
			p.touch(name)
		}
	})
	add(nodes.Informer(), func(o any) {
		if n, ok := last(o).(*v1.Node); ok && n.Name == p.config.NodeName {
			p.signal()
		}
	})
	return errors.Join(errs...)
}

// last unwraps what is left of a deletion that was missed.
func last(o any) any {
	if d, ok := o.(clientcache.DeletedFinalStateUnknown); ok {
		return d.Obj
	}
	return o
}

func serviceOf(o any) (types.NamespacedName, bool) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || s.Labels[discoveryv1.LabelServiceName] == "" {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}, true
}

func (p *Proxy) touch(name types.NamespacedName) {
	p.mu.Lock()
	p.dirty[name] = true
	p.mu.Unlock()
	p.signal()
}

func (p *Proxy) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns the dirty services, which are then clean.
func (p *Proxy) take() map[types.NamespacedName]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.dirty
	p.dirty = map[types.NamespacedName]bool{}
	return out
}

// Ready is closed when the services that there were at the start are programmed.
func (p *Proxy) Ready() <-chan struct{} { return p.ready }

// retry is the longest pause after an error.
const retry = 10 * time.Second

// Run programs the node until ctx ends. The rules stay: connections go on, and
// new ones are made, while no proxy runs. [Cleanup] removes them.
func (p *Proxy) Run(ctx context.Context) error {
	p.config.Informers.Start(ctx.Done())
	if !clientcache.WaitForCacheSync(ctx.Done(), p.synced...) {
		return nil
	}
	defer func() { _ = p.health.set(nil) }()
	pause := time.Duration(0)
	for {
		if err := p.sync(ctx); err == nil {
			pause = 0
			p.markReady()
		} else if ctx.Err() == nil {
			pause = min(max(2*pause, 100*time.Millisecond), retry)
			p.config.Log.Error("services could not be programmed; trying again", "in", pause, "err", err)
			p.signal()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
	}
}

func (p *Proxy) markReady() {
	select {
	case <-p.ready:
	default:
		close(p.ready)
	}
}

// sync programs what has changed since the last sync, all of it in one
// transaction per family.
func (p *Proxy) sync(ctx context.Context) error {
	dirty := p.take()
	if node := p.thisNode(); node != p.node {
		p.node = node
		for name := range p.state.plans {
			dirty[name] = true
		}
	}
	d := newDelta()
	for name := range dirty {
		p.state.set(name, p.plan(name), d)
	}
	var errs []error
	for _, t := range p.tables {
		change := d
		if t.stale {
			change = p.state.all()
		}
		change = change.of(t.v6)
		if err := t.apply(ctx, change.fronts, change.hairpins); err != nil {
			errs = append(errs, fmt.Errorf("nftables table %s %s: %w", t.ip, p.config.Table, err))
			continue
		}
		if err := forget(p.flows, change.fronts, t.v6); err != nil {
			p.config.Log.Warn("connections to endpoints that are gone could not be forgotten", "err", err)
		}
	}
	errs = append(errs, p.health.set(p.state.plans))
	return errors.Join(errs...)
}

func (p *Proxy) thisNode() Node {
	n := Node{Name: p.config.NodeName}
	if o, err := p.nodes.Get(p.config.NodeName); err == nil {
		n.Zone = o.Labels[v1.LabelTopologyZone]
	}
	return n
}

func (p *Proxy) plan(name types.NamespacedName) Plan {
	// Listers and indexes fail only for what is not there.
	s, err := p.services.Services(name.Namespace).Get(name.Name)
	if err != nil {
		return Plan{}
	}
	found, err := p.slices.ByIndex(byService, name.String())
	if err != nil {
		return Plan{}
	}
	all := make([]*discoveryv1.EndpointSlice, 0, len(found))
	for _, o := range found {
		all = append(all, o.(*discoveryv1.EndpointSlice))
	}
	return Decide(s, all, p.node)
}

// Cleanup removes the tables of that name; "" is DefaultTable.
func Cleanup(ctx context.Context, name string) error {
	if name == "" {
		name = DefaultTable
	}
	var errs []error
	for _, f := range []knftables.Family{knftables.IPv4Family, knftables.IPv6Family} {
		nft, err := knftables.New(f, name)
		if err != nil {
			return fmt.Errorf("remove the rules of services: %w", err)
		}
		tx := nft.NewTransaction()
		// Adding first makes deleting work when it is not there.
		tx.Add(&knftables.Table{})
		tx.Delete(&knftables.Table{})
		if err := nft.Run(ctx, tx); err != nil {
			errs = append(errs, fmt.Errorf("remove the rules of services: %w", err))
		}
	}
	return errors.Join(errs...)
}
