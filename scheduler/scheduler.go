package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
)

// DefaultName is the scheduler that pods name which name none.
const DefaultName = "default-scheduler"

// Config of a scheduler.
type Config struct {
	// Name: pods whose spec.schedulerName is this one are ours. Default
	// DefaultName.
	Name      string
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	// Events records Scheduled, FailedScheduling and Preempted.
	Events events.EventRecorder
	Log    *slog.Logger
	// Seed of the choice among equals. It is logged.
	Seed uint64
	// Binders is how many bindings are under way at once. Default 64.
	Binders int
}

// Scheduler assigns pods to nodes. Make one with New, before the informers are
// started, and call Run once.
type Scheduler struct {
	config Config
	mail   mailbox
	synced []cache.InformerSynced
	// budgets limit preemption.
	budgets policylisters.PodDisruptionBudgetLister

	// The rest is owned by the loop.
	nodes   *nodes
	queue   *queue
	shapes  shapes
	decider *decider
	bind    chan *binding
	// nominated are the waiting pods that room has been made for, and where.
	nominated map[types.UID]nomination
}

// nomination is a node that a pod is waiting for.
type nomination struct {
	pod  *v1.Pod
	node string
}

// New makes a scheduler and registers it with the informers of pods, nodes,
// namespaces and disruption budgets.
func New(c Config) (*Scheduler, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Binders == 0 {
		c.Binders = 64
	}
	s := &Scheduler{
		config: c, mail: mailbox{wake: make(chan struct{}, 1)},
		nodes: newNodes(), queue: newQueue(), shapes: shapes{byKey: map[string]*shape{}},
		decider: newDecider(c.Seed), bind: make(chan *binding, c.Binders), nominated: map[types.UID]nomination{},
	}
	budgets := c.Informers.Policy().V1().PodDisruptionBudgets()
	s.budgets = budgets.Lister()
	s.synced = append(s.synced, budgets.Informer().HasSynced)
	if err := s.watch(c.Informers.Core().V1().Namespaces().Informer(),
		func(o any) event { return event{kind: namespaceSet, namespace: o.(*v1.Namespace)} },
		func(o any) event { return event{kind: namespaceGone, namespace: o.(*v1.Namespace)} }); err != nil {
		return nil, fmt.Errorf("scheduler: watch namespaces: %w", err)
	}
	if err := s.watch(c.Informers.Core().V1().Nodes().Informer(),
		func(o any) event { return event{kind: nodeSet, node: o.(*v1.Node)} },
		func(o any) event { return event{kind: nodeGone, node: o.(*v1.Node)} }); err != nil {
		return nil, fmt.Errorf("scheduler: watch nodes: %w", err)
	}
	if err := s.watch(c.Informers.Core().V1().Pods().Informer(),
		func(o any) event { return event{kind: podSet, pod: o.(*v1.Pod)} },
		func(o any) event { return event{kind: podGone, pod: o.(*v1.Pod)} }); err != nil {
		return nil, fmt.Errorf("scheduler: watch pods: %w", err)
	}
	return s, nil
}

func (s *Scheduler) watch(informer cache.SharedIndexInformer, set, gone func(any) event) error {
	reg, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.mail.put(set(o)) },
		UpdateFunc: func(_, o any) { s.mail.put(set(o)) },
		DeleteFunc: func(o any) {
			if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			s.mail.put(gone(o))
		},
	})
	if err == nil {
		s.synced = append(s.synced, reg.HasSynced)
	}
	return err
}

// Run schedules until ctx ends, then waits for the bindings under way.
func (s *Scheduler) Run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return ctx.Err()
	}
	s.config.Log.Info("scheduling", "scheduler", s.config.Name, "seed", s.config.Seed)
	var wg sync.WaitGroup
	for range s.config.Binders {
		wg.Go(func() {
			for b := range s.bind {
				s.carryOut(ctx, b)
			}
		})
	}
	s.loop(ctx)
	close(s.bind)
	wg.Wait()
	return nil
}

// loop is the only goroutine that touches nodes, queue and shapes.
func (s *Scheduler) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		for _, e := range s.mail.take() {
			s.apply(e, now)
		}
		next := s.queue.advance(now)
		if w := s.queue.pop(); w != nil {
			if !s.schedule(ctx, w, now) {
				return
			}
			continue
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.mail.wake:
		case <-timer.C:
		}
	}
}

// schedule decides on one pod and hands it to a binder. It returns false when
// ctx has ended.
func (s *Scheduler) schedule(ctx context.Context, w *waiting, now time.Time) bool {
	b := &binding{pod: w.pod}
	s.beside(w.pod, func() { s.decide(b) })
	if b.decision.Node == "" {
		s.queue.fitsNowhere(w, b.decision.RefusedBy, now)
	} else {
		delete(s.nominated, w.pod.UID)
		s.nodes.place(w.pod, b.decision.Node, true)
		s.wake(Change{PodPlaced: true}, now)
	}
	select {
	case s.bind <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

// beside calls f while those pods count on their nodes that room has been made for,
// and that are at least as important.
func (s *Scheduler) beside(pod *v1.Pod, f func()) {
	var lent []types.UID
	for uid, n := range s.nominated {
		if uid != pod.UID && priorityOf(n.pod) >= priorityOf(pod) && s.nodes.pods[uid] == nil {
			s.nodes.place(n.pod, n.node, true)
			lent = append(lent, uid)
		}
	}
	f()
	for _, uid := range lent {
		s.nodes.remove(uid)
	}
}

// decide finds a node for a pod, or pods that have to make room for it.
func (s *Scheduler) decide(b *binding) {
	shape, err := s.shapes.of(b.pod)
	var r *relation
	if err == nil {
		r, err = relationOf(shape, b.pod, s.nodes)
	}
	if err != nil {
		b.decision = Decision{Message: err.Error()}
		return
	}
	nominated := s.nominated[b.pod.UID].node
	if n := s.nodes.known(nominated); n != nil && len(s.decider.refusals(b.pod, shape, n.index, s.nodes)) == 0 {
		b.decision = Decision{Node: nominated} // the room that was made for it
		return
	}
	if b.decision = s.decider.decide(shape, r, s.nodes); b.decision.Node == "" && len(b.decision.RefusedBy) > 0 {
		s.makeRoom(b, shape)
	}
}

// makeRoom looks for pods that a pod is more important than.
func (s *Scheduler) makeRoom(b *binding, shape *shape) {
	nominated := s.nodes.known(s.nominated[b.pod.UID].node)
	curable := nominated != nil && slices.Contains(b.decision.curable, nominated.index)
	why := ineligible(b.pod, nominated, curable)
	if why == "" {
		b.preempt, why = s.decider.preempt(b.pod, shape, b.decision.curable, s.nodes, s.allBudgets())
	}
	if b.preempt != nil {
		// Those who waited for the node's room and are less important have to look
		// for another.
		maps.DeleteFunc(s.nominated, func(_ types.UID, n nomination) bool {
			return n.node == b.preempt.node && priorityOf(n.pod) < priorityOf(b.pod)
		})
		s.nominated[b.pod.UID] = nomination{b.pod, b.preempt.node}
		b.nominate = &b.preempt.node
		return
	}
	// The plugin before preemption has its say first, as upstream's has.
	b.decision.Message += " no new claims to deallocate, preemption: " + why
	if why != stillLeaving && b.pod.Status.NominatedNodeName != "" {
		delete(s.nominated, b.pod.UID)
		b.nominate = new(string)
	}
}

func (s *Scheduler) allBudgets() []*policyv1.PodDisruptionBudget {
	list, err := s.budgets.List(labels.Everything())
	if err != nil {
		return nil // a lister of a synced informer has no errors
	}
	return list
}

// apply takes one event into the state.
func (s *Scheduler) apply(e event, now time.Time) {
	switch e.kind {
	case nodeSet:
		old := s.nodes.named(e.node.Name).api
		s.nodes.setNode(e.node)
		s.wake(nodeChange(old, e.node), now)
	case nodeGone:
		s.nodes.removeNode(e.node.Name)
		s.wake(Change{NodeRemoved: true}, now)
	case podSet:
		s.applyPod(e.pod, now)
	case podGone:
		s.forget(e.pod)
		s.free(e.pod, now)
	case namespaceSet, namespaceGone:
		set := map[string]string{}
		maps.Copy(set, e.namespace.Labels)
		if e.kind == namespaceGone {
			set = nil
		}
		if s.nodes.tallies.setNamespace(e.namespace.Name, set) {
			s.wake(Change{NamespaceLabels: true}, now)
		}
	case evictionFailed:
		delete(s.nominated, e.pod.UID)
		if w := s.queue.byUID[e.pod.UID]; w != nil && w.place == unschedulable {
			s.queue.wake(w, now)
		}
	case bindFailed:
		s.nodes.forget(e.pod.UID)
		s.wake(Change{PodRemoved: true}, now)
		if w := s.queue.byUID[e.pod.UID]; w != nil && w.place == nowhere {
			s.queue.retry(w, now)
		}
	}
}

func (s *Scheduler) applyPod(pod *v1.Pod, now time.Time) {
	finished := pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
	switch {
	case finished:
		s.forget(pod)
		s.free(pod, now)
	case pod.Spec.NodeName != "":
		s.forget(pod)
		was := s.nodes.pods[pod.UID]
		s.nodes.place(pod, pod.Spec.NodeName, false)
		s.wake(Change{
			PodRemoved: was != nil && (asksLess(was, s.nodes.pods[pod.UID]) || was.node != pod.Spec.NodeName),
			PodPlaced:  was == nil || looksOther(was.pod, pod),
		}, now)
	case pod.Spec.SchedulerName != s.config.Name || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0:
		s.forget(pod)
	case s.nodes.pods[pod.UID] != nil:
		// Assumed: its binding is under way.
		if w := s.queue.byUID[pod.UID]; w != nil {
			w.pod = pod
		}
	default:
		// A nomination outlives the scheduler that made it.
		if _, known := s.nominated[pod.UID]; !known && pod.Status.NominatedNodeName != "" {
			s.nominated[pod.UID] = nomination{pod, pod.Status.NominatedNodeName}
		}
		s.queue.add(pod, now)
	}
}

// forget stops waiting for a node for a pod.
func (s *Scheduler) forget(pod *v1.Pod) {
	s.queue.remove(pod.UID)
	delete(s.nominated, pod.UID)
}

func (s *Scheduler) free(pod *v1.Pod, now time.Time) {
	if s.nodes.pods[pod.UID] != nil {
		s.nodes.remove(pod.UID)
		s.wake(Change{PodRemoved: true}, now)
	}
}

// looksOther tells whether selections may judge a placed pod otherwise than before.
func looksOther(was, is *v1.Pod) bool {
	return (was.DeletionTimestamp == nil) != (is.DeletionTimestamp == nil) || !sameStrings(was.Labels, is.Labels)
}

func asksLess(was, is *placed) bool {
	return is.request.cpu < was.request.cpu || is.request.memory < was.request.memory || is.request.ephemeral < was.request.ephemeral
}

// wake brings back pods that a change may help. Pods without a known refusal
// (there were no nodes at all) are helped by any.
func (s *Scheduler) wake(c Change, now time.Time) {
	if !c.any() || len(s.queue.refusers) == 0 {
		return
	}
	var woken []string
	ask := func(p waker) {
		if s.queue.refusers[p.Name()] > 0 && p.Wakes(c) {
			woken = append(woken, p.Name())
		}
	}
	for _, f := range s.decider.filters {
		ask(f)
	}
	for _, r := range s.decider.related {
		ask(r)
	}
	if len(woken) == 0 && s.queue.refusers[""] == 0 {
		return
	}
	s.queue.changed(func(refusedBy []string) bool {
		return len(refusedBy) == 0 || slices.ContainsFunc(refusedBy, func(n string) bool { return slices.Contains(woken, n) })
	}, now)
}

type eventKind int

const (
	nodeSet eventKind = iota
	nodeGone
	podSet
	podGone
	namespaceSet
	namespaceGone
	bindFailed
	evictionFailed
)

// event is something that the loop is to know.
type event struct {
	kind      eventKind
	node      *v1.Node
	pod       *v1.Pod
	namespace *v1.Namespace
}

// mailbox hands events to the loop without making the sender wait. It is
// bounded by what it describes: informers send one event per change.
type mailbox struct {
	mu   sync.Mutex
	mail []event
	wake chan struct{}
}

func (m *mailbox) put(e event) {
	m.mu.Lock()
	m.mail = append(m.mail, e)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	mail := m.mail
	m.mail = nil
	return mail
}
