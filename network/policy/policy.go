package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"

	"proa/node/pod"
)

// DefaultTable is the name of the nftables table, in the family inet. By turns it
// is this and the same with -2, see Config.Table.
const DefaultTable = "proa-policy"

// Config is what an enforcer is made of.
type Config struct {
	// Informers for NetworkPolicies, and for Pods and Namespaces once there is a
	// policy. Run starts them. [Trim] may have passed over what they hold.
	Informers informers.SharedInformerFactory
	// NodeName is the node whose pods are isolated.
	NodeName string
	// Bridge that the pods of this node hang on, if it is known: link-local
	// addresses do not lead over it past policies.
	Bridge string
	// DNS is the address at which this node answers names, if it does.
	DNS netip.Addr
	// Table is the name of the nftables table. When it is written anew beside the
	// one that is there it takes the other name of the two, this and this with -2.
	// Default DefaultTable.
	Table string
	Log   *slog.Logger
}

// Enforcer keeps the rules of one node. Its methods may be called concurrently.
type Enforcer struct {
	config Config
	source *source

	mu       sync.Mutex
	dirty    dirty
	admitted map[types.NamespacedName]*admission
	holders  map[netip.Addr]types.NamespacedName // who of the admitted has an address
	// order numbers admissions. All up to enforced have their rules; synced is
	// closed, and made anew, when that changes.
	order, enforced uint64
	synced          chan struct{}
	known           bool          // the policies have been read once
	failure         error         // of the last sync
	unread          error         // the last of those by which something cannot be read
	wake            chan struct{} // has room for one: there is something dirty

	state *state // Run's
}

// dirty are the names of what may have changed.
type dirty struct {
	policies, pods map[types.NamespacedName]bool
	namespaces     map[string]bool
}

func newDirty() dirty {
	return dirty{policies: map[types.NamespacedName]bool{}, pods: map[types.NamespacedName]bool{}, namespaces: map[string]bool{}}
}

// admission is what the node agent said of a pod.
type admission struct {
	pod   *v1.Pod
	addrs []netip.Addr
	order uint64
	// seen is whether the API has shown the pod since.
	seen bool
}

// New makes an enforcer. It fails where nftables cannot be used.
func New(c Config) (*Enforcer, error) {
	if c.Table == "" {
		c.Table = DefaultTable
	}
	in, err := placesOf(c.Table)
	if err != nil {
		return nil, fmt.Errorf("network policies: %w", err)
	}
	return newEnforcer(c, in)
}

func newEnforcer(c Config, in places) (*Enforcer, error) {
	e := &Enforcer{
		config: c, dirty: newDirty(), state: newState(newTable(in, c.Bridge)),
		admitted: map[types.NamespacedName]*admission{}, holders: map[netip.Addr]types.NamespacedName{},
		wake: make(chan struct{}, 1), synced: make(chan struct{}),
	}
	var err error
	e.source, err = newSource(c.Informers, e)
	return e, err
}

const (
	// admissionPatience is how long a pod waits for its rules before it is told.
	admissionPatience = 30 * time.Second
	// staticPatience is how long a static pod waits for the policies to be read.
	staticPatience = 5 * time.Second
)

// Admit returns once the rules of a pod of this node are in place under the
// addresses that it has got. Nothing of the pod may run before. An error says
// that it may not run yet, and why; try again later.
//
// A static pod runs without the API server: where the policies have never been
// read it is let in, and its rules follow.
func (e *Enforcer) Admit(ctx context.Context, p *v1.Pod, ips []string) error {
	if p.Spec.HostNetwork {
		return nil
	}
	order := e.admit(p, parse(ips))
	timeout := time.NewTimer(admissionPatience)
	defer timeout.Stop()
	var alone <-chan time.Time
	if pod.IsStatic(p) {
		t := time.NewTimer(staticPatience)
		defer t.Stop()
		alone = t.C
	}
	for {
		e.mu.Lock()
		enforced, synced, known := e.enforced >= order, e.synced, e.known
		e.mu.Unlock()
		if enforced {
			return nil
		}
		select {
		case <-synced:
		case <-ctx.Done():
			return ctx.Err()
		case <-alone:
			if !known {
				e.config.Log.Warn("a static pod starts though the cluster's network policies are not known; its rules follow", "pod", p.Namespace+"/"+p.Name)
				return nil
			}
		case <-timeout.C:
			return e.late()
		}
	}
}

// late says why a pod has not got its rules.
func (e *Enforcer) late() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure != nil {
		return fmt.Errorf("network policies cannot be enforced on this node; repair what is wrong, the pod starts then: %w", e.failure)
	}
	const unknown = "the network policies of the cluster are not known to this node yet; see that it reaches the API server and may follow networkpolicies, pods and namespaces, the pod starts then"
	if e.unread != nil {
		return fmt.Errorf(unknown+": %w", e.unread)
	}
	return errors.New(unknown)
}

// admit notes who has the addresses from now on, and returns the number of the
// admission.
func (e *Enforcer) admit(p *v1.Pod, addrs []netip.Addr) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	e.dismiss(name)
	for _, a := range addrs {
		// One that had the address is gone, whether that is known already or not.
		if other, taken := e.holders[a]; taken {
			e.dismiss(other)
		}
		e.holders[a] = name
	}
	e.order++
	e.admitted[name] = &admission{pod: p, addrs: addrs, order: e.order}
	e.dirty.pods[name] = true
	e.signal()
	return e.order
}

// dismiss forgets what the node agent said of a pod. The caller holds mu.
func (e *Enforcer) dismiss(name types.NamespacedName) {
	a := e.admitted[name]
	if a == nil {
		return
	}
	for _, addr := range a.addrs {
		delete(e.holders, addr)
	}
	delete(e.admitted, name)
	e.dirty.pods[name] = true
}

func (e *Enforcer) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// retry is the longest pause after an error.
const retry = 10 * time.Second

// Run enforces policies until ctx ends. The rules stay: what is isolated stays
// so while no enforcer runs. [Cleanup] removes them.
func (e *Enforcer) Run(ctx context.Context) error {
	if !e.source.start(ctx) {
		return nil
	}
	e.mu.Lock()
	e.known = true
	e.mu.Unlock()
	pause := time.Duration(0)
	for {
		order, err := e.sync(ctx)
		e.finish(order, err)
		if err == nil {
			pause = 0
		} else if ctx.Err() == nil {
			pause = min(max(2*pause, 100*time.Millisecond), retry)
			e.config.Log.Error("network policies could not be enforced; trying again", "in", pause, "err", err)
			e.signal()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		}
	}
}

// finish tells those who wait how a sync has ended.
func (e *Enforcer) finish(order uint64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure = err; err != nil {
		return
	}
	e.enforced = order
	close(e.synced)
	e.synced = make(chan struct{})
}

// sync brings what has changed since the last one into the kernel. It returns
// the last admission that was part of it.
func (e *Enforcer) sync(ctx context.Context) (uint64, error) {
	if err := e.source.need(ctx); err != nil {
		return 0, err
	}
	e.mu.Lock()
	d, order := e.dirty, e.order
	e.dirty = newDirty()
	e.mu.Unlock()
	for name := range d.policies {
		e.state.setPolicy(name, e.source.policy(name))
	}
	if e.source.complete {
		for name := range d.namespaces {
			l, known := e.source.namespace(name)
			e.state.setNamespace(name, l, known)
		}
		for name := range d.pods {
			e.state.setPod(name, e.pod(name))
		}
	}
	if err := e.state.table.apply(ctx); err != nil {
		return 0, fmt.Errorf("nftables table inet %s: %w", e.config.Table, err)
	}
	return order, nil
}

// pod is what policies see of a pod: by its object, and by what the node agent
// has said, which is first to know addresses.
func (e *Enforcer) pod(name types.NamespacedName) *Pod {
	if name == dnsName {
		return e.dns()
	}
	p := e.source.pod(name)
	a := e.admission(name, p)
	switch {
	case p == nil && a == nil:
		return nil
	case a == nil:
		return podOf(p, e.unheld(addresses(p)), e.config.NodeName)
	case p == nil || p.UID != a.pod.UID && !mirrors(p):
		p = a.pod // the API's is older, or not there yet
	}
	out := podOf(p, a.addrs, e.config.NodeName)
	if out != nil {
		out.Local, out.Admitted = true, a.order
	}
	return out
}

// admission is what the node agent said of a pod, unless the API shows that the
// pod is gone. A static pod goes on without the one that mirrors it.
func (e *Enforcer) admission(name types.NamespacedName, p *v1.Pod) *admission {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.admitted[name]
	if a == nil {
		return nil
	}
	is := p != nil && p.UID == a.pod.UID
	if a.seen && !is || is && ended(p) {
		e.dismiss(name)
		return nil
	}
	a.seen = is
	return a
}

// unheld leaves out addresses that another pod has been given since.
func (e *Enforcer) unheld(addrs []netip.Addr) []netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		_, held := e.holders[a]
		return held
	})
}

// mirrors tells a pod of the API that only shows a static pod.
func mirrors(p *v1.Pod) bool {
	_, is := p.Annotations[v1.MirrorPodAnnotationKey]
	return is
}

// Cleanup removes the table of that name, wherever it stands; "" is DefaultTable.
func Cleanup(ctx context.Context, name string) error {
	if name == "" {
		name = DefaultTable
	}
	in, err := placesOf(name)
	if err != nil {
		return fmt.Errorf("remove the rules of network policies: %w", err)
	}
	var errs []error
	for at := range in {
		if err := in.run(ctx, at, gone); err != nil {
			errs = append(errs, fmt.Errorf("remove the rules of network policies: %w", err))
		}
	}
	return errors.Join(errs...)
}
