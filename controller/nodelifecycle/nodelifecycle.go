package nodelifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
	"proa/controller/podstate"
)

const workers = 4

// Definition of the node lifecycle controller, to which a node is lost that has
// been silent for the grace period. 0 is [DefaultGracePeriod].
func Definition(gracePeriod time.Duration) controller.Definition {
	return controller.Definition{Name: "node-lifecycle-controller", ServiceAccount: "node-controller", New: func(env controller.Env) (controller.Controller, error) {
		return newController(env, cmp.Or(gracePeriod, DefaultGracePeriod))
	}}
}

type lifecycle struct {
	env   controller.Env
	grace time.Duration
	loop  *controller.Loop[string]
	nodes corelisters.NodeLister
	pods  corelisters.PodLister

	mu     sync.Mutex
	health map[string]health
	paces  map[string]*pace
}

func newController(env controller.Env, grace time.Duration) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &lifecycle{env: env, grace: grace, nodes: core.Nodes().Lister(), pods: core.Pods().Lister(), health: map[string]health{}, paces: map[string]*pace{}}
	c.loop = controller.NewLoop("nodelifecycle", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, core.Nodes().Informer(), func(_, n *v1.Node, deleted bool) []string {
		if deleted {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.health, n.Name)
			return nil
		}
		c.spoke(n)
		return []string{n.Name}
	}); err != nil {
		return nil, err
	}
	// Pods are read when a node falls silent.
	if err := controller.Watch(c.loop, core.Pods().Informer(), func(_, _ *v1.Pod, _ bool) []string { return nil }); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, env.Informers.Coordination().V1().Leases().Informer(), c.renewed)
}

// Run implements controller.Controller.
func (c *lifecycle) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// spoke takes note of a status that the node's agent has written.
func (c *lifecycle) spoke(n *v1.Node) {
	if ready := condition(n.Status.Conditions, v1.NodeReady); ready != nil {
		c.alive(n.Name, func(h *health) bool {
			news := !h.heartbeat.Equal(&ready.LastHeartbeatTime)
			h.heartbeat = ready.LastHeartbeatTime
			return news
		})
	}
}

// renewed takes note of a lease. Only a node that was given up has to be looked at
// for it; the others are looked at when their lease runs out.
func (c *lifecycle) renewed(_, l *coordinationv1.Lease, deleted bool) []string {
	if l.Namespace == v1.NamespaceNodeLease && !deleted && l.Spec.RenewTime != nil {
		c.alive(l.Name, func(h *health) bool {
			news := !h.renewed.Equal(l.Spec.RenewTime) // a clock may be set back
			h.renewed = *l.Spec.RenewTime
			return news
		})
	}
	return nil
}

// alive notes a sign of life if it is news.
func (c *lifecycle) alive(node string, sign func(*health) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, known := c.health[node]
	if news := sign(&h); news || !known {
		h.seen = c.env.Clock.Now()
	}
	c.health[node] = h
}

func (c *lifecycle) lastSeen(node string, now time.Time) health {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.health[node]
	if !ok {
		h = health{seen: now}
		c.health[node] = h
	}
	return h
}

func (c *lifecycle) reconcile(ctx context.Context, name string) (controller.Result, error) {
	n, err := c.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	p := decide(n, c.lastSeen(name, now), c.grace, now)
	if p.conditions != nil {
		next := n.DeepCopy()
		next.Status.Conditions = p.conditions
		// The update comes back as an event, and the taints follow then.
		_, err := c.env.Client.CoreV1().Nodes().UpdateStatus(ctx, next, metav1.UpdateOptions{})
		return controller.Done, err
	}
	again := p.again
	evict := false
	var unmarked error
	if p.execute != nil {
		unmarked = c.markPods(ctx, n, now)
		if !has(n.Spec.Taints, p.execute) {
			var wait time.Duration
			if evict, wait = c.mayEvict(n, now); !evict && (again == 0 || wait < again) {
				again = wait
			}
		}
	}
	if list, changed := taints(n, p, evict, metav1.NewTime(now)); changed {
		if err := c.writeTaints(ctx, n, list); err != nil {
			return controller.Done, err
		}
	}
	if unmarked != nil {
		return controller.Done, unmarked
	}
	if again > 0 {
		return controller.Again(again), nil
	}
	return controller.Done, nil
}

// mayEvict asks whether one more node of this node's zone may be given up.
func (c *lifecycle) mayEvict(n *v1.Node, now time.Time) (bool, time.Duration) {
	all, err := c.nodes.List(labels.Everything())
	if err != nil {
		return false, time.Minute
	}
	rate := rates(all)[zone(n)]
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.paces[zone(n)]
	if p == nil {
		p = &pace{}
		c.paces[zone(n)] = p
	}
	return p.allow(rate, now)
}

func (c *lifecycle) writeTaints(ctx context.Context, n *v1.Node, list []v1.Taint) error {
	if list == nil {
		list = []v1.Taint{}
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": n.ResourceVersion, "uid": n.UID},
		"spec":     map[string]any{"taints": list},
	})
	if err != nil {
		return fmt.Errorf("encode taints: %w", err)
	}
	_, err = c.env.Client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, body, metav1.PatchOptions{})
	return err
}

// markPods makes the pods of a node that is not ready not ready themselves, so
// that services stop sending to them. An error of one keeps it from no other.
func (c *lifecycle) markPods(ctx context.Context, n *v1.Node, now time.Time) error {
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return err
	}
	var errs []error
	for _, pod := range pods {
		if pod.Spec.NodeName != n.Name || !podstate.Ready(pod) {
			continue
		}
		next := pod.DeepCopy()
		cond := podstate.Condition(next, v1.PodReady)
		cond.Status, cond.Reason, cond.LastTransitionTime = v1.ConditionFalse, "NodeNotReady", metav1.NewTime(now)
		if _, err := c.env.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
			if !apierrors.IsNotFound(err) {
				errs = append(errs, err)
			}
			continue
		}
		c.env.Events.Eventf(pod, v1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	}
	return errors.Join(errs...)
}
