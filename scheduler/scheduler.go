package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
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
	// Events records Scheduled and FailedScheduling.
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

	// The rest is owned by the loop.
	nodes   *nodes
	queue   *queue
	shapes  shapes
	decider *decider
	bind    chan *binding
}

// New makes a scheduler and registers it with the informers of pods and nodes.
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
		decider: newDecider(c.Seed), bind: make(chan *binding, c.Binders),
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
	var d Decision
	shape, err := s.shapes.of(w.pod)
	if err != nil {
		d = Decision{Message: err.Error()}
	} else {
		d = s.decider.decide(shape, s.nodes)
	}
	b := &binding{pod: w.pod, decision: d}
	if d.Node == "" {
		s.queue.fitsNowhere(w, d.RefusedBy, now)
	} else {
		s.nodes.place(w.pod, d.Node, true)
	}
	select {
	case s.bind <- b:
		return true
	case <-ctx.Done():
		return false
	}
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
	case podSet:
		s.applyPod(e.pod, now)
	case podGone:
		s.queue.remove(e.pod.UID)
		s.free(e.pod, now)
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
		s.queue.remove(pod.UID)
		s.free(pod, now)
	case pod.Spec.NodeName != "":
		s.queue.remove(pod.UID)
		was := s.nodes.pods[pod.UID]
		s.nodes.place(pod, pod.Spec.NodeName, false)
		if was != nil && asksLess(was, s.nodes.pods[pod.UID]) {
			s.wake(Change{PodRemoved: true}, now)
		}
	case pod.Spec.SchedulerName != s.config.Name || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0:
		s.queue.remove(pod.UID)
	case s.nodes.pods[pod.UID] != nil:
		// Assumed: its binding is under way.
		if w := s.queue.byUID[pod.UID]; w != nil {
			w.pod = pod
		}
	default:
		s.queue.add(pod, now)
	}
}

func (s *Scheduler) free(pod *v1.Pod, now time.Time) {
	if s.nodes.pods[pod.UID] != nil {
		s.nodes.remove(pod.UID)
		s.wake(Change{PodRemoved: true}, now)
	}
}

func asksLess(was, is *placed) bool {
	return is.request.cpu < was.request.cpu || is.request.memory < was.request.memory || is.request.ephemeral < was.request.ephemeral
}

// wake brings back pods that a change may help. Pods without a known refusal
// (there were no nodes at all) are helped by any.
func (s *Scheduler) wake(c Change, now time.Time) {
	if !c.any() {
		return
	}
	var woken []string
	for _, f := range s.decider.filters {
		if f.Wakes(c) {
			woken = append(woken, f.Name())
		}
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
	bindFailed
)

// event is something that the loop is to know.
type event struct {
	kind eventKind
	node *v1.Node
	pod  *v1.Pod
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
