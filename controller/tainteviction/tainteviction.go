// Package tainteviction deletes pods from nodes with NoExecute taints that they
// do not tolerate, or have tolerated for as long as they said.
package tainteviction

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"

	"proa/controller"
	"proa/controller/podstate"
)

const workers = 8

// Definition of the taint eviction controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "taint-eviction-controller", ServiceAccount: "node-controller", New: newController}
}

type eviction struct {
	env   controller.Env
	loop  *controller.Loop[controller.Key]
	nodes corelisters.NodeLister
	pods  corelisters.PodLister

	mu sync.Mutex
	// begun is when a pod was first seen to tolerate a taint for a time only.
	begun map[controller.Key]begin
}

type begin struct {
	uid types.UID
	at  time.Time
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &eviction{env: env, nodes: core.Nodes().Lister(), pods: core.Pods().Lister(), begun: map[controller.Key]begin{}}
	c.loop = controller.NewLoop("tainteviction", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		if deleted {
			c.forget(controller.Key{Namespace: pod.Namespace, Name: pod.Name})
			return nil
		}
		if pod.Spec.NodeName == "" || old != nil && old.Spec.NodeName == pod.Spec.NodeName && equality.Semantic.DeepEqual(old.Spec.Tolerations, pod.Spec.Tolerations) {
			return nil
		}
		return []controller.Key{{Namespace: pod.Namespace, Name: pod.Name}}
	}); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, core.Nodes().Informer(), c.ofNode)
}

// Run implements controller.Controller.
func (c *eviction) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// ofNode looks at all pods of a node whose NoExecute taints have changed.
func (c *eviction) ofNode(old, n *v1.Node, deleted bool) []controller.Key {
	if deleted {
		return nil
	}
	is := executing(n)
	if old == nil && len(is) == 0 || old != nil && same(executing(old), is) {
		return nil
	}
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []controller.Key
	for _, p := range pods {
		if p.Spec.NodeName == n.Name {
			keys = append(keys, controller.Key{Namespace: p.Namespace, Name: p.Name})
		}
	}
	return keys
}

func executing(n *v1.Node) (out []v1.Taint) {
	for _, t := range n.Spec.Taints {
		if t.Effect == v1.TaintEffectNoExecute {
			out = append(out, t)
		}
	}
	return out
}

func same(a, b []v1.Taint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || a[i].Value != b[i].Value || !a[i].TimeAdded.Equal(b[i].TimeAdded) {
			return false
		}
	}
	return true
}

// decide says whether a pod must leave a node with these taints, and if so in
// how long. A pod tolerates from the moment that it is on the node (since) and
// the taint is there; a taint that does not say since when counts from begun.
func decide(taints []v1.Taint, tolerations []v1.Toleration, since, begun, now time.Time) (leave bool, in time.Duration) {
	for i := range taints {
		t := &taints[i]
		tolerated, limited := false, false
		var left time.Duration
		for k := range tolerations {
			tol := &tolerations[k]
			if !tol.ToleratesTaint(klog.Background(), t, true) {
				continue
			}
			tolerated = true
			if tol.TolerationSeconds == nil {
				continue
			}
			from := begun
			if t.TimeAdded != nil {
				from = t.TimeAdded.Time
			}
			if from.Before(since) {
				from = since
			}
			l := max(0, from.Add(time.Duration(max(0, *tol.TolerationSeconds))*time.Second).Sub(now))
			if !limited || l < left {
				limited, left = true, l
			}
		}
		switch {
		case !tolerated:
			return true, 0
		case limited && (!leave || left < in):
			leave, in = true, left
		}
	}
	return leave, in
}

func (c *eviction) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	pod, err := c.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) || err == nil && (pod.DeletionTimestamp != nil || podstate.Finished(pod)) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	n, err := c.nodes.Get(pod.Spec.NodeName)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil // the pod garbage collector's concern
	}
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	leave, in := decide(executing(n), pod.Spec.Tolerations, since(pod), c.begin(key, pod.UID, now), now)
	switch {
	case !leave:
		c.forget(key)
		return controller.Done, nil
	case in > 0:
		return controller.Again(in), nil
	}
	return controller.Done, c.evict(ctx, pod, now)
}

// since is when a pod came to its node.
func since(pod *v1.Pod) time.Time {
	if c := podstate.Condition(pod, v1.PodScheduled); c != nil && c.Status == v1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return pod.CreationTimestamp.Time
}

// begin is when the pod was first asked about since its node has had taints.
func (c *eviction) begin(key controller.Key, uid types.UID, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.begun[key]
	if !ok || b.uid != uid {
		b = begin{uid, now}
		c.begun[key] = b
	}
	return b.at
}

func (c *eviction) forget(key controller.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.begun, key)
}

func (c *eviction) evict(ctx context.Context, pod *v1.Pod, now time.Time) error {
	c.env.Events.Eventf(pod, v1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s/%s", pod.Namespace, pod.Name)
	next := pod.DeepCopy()
	cond := v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: "DeletionByTaintManager",
		Message: "Taint manager: deleting due to NoExecute taint", LastTransitionTime: metav1.NewTime(now), ObservedGeneration: pod.Generation,
	}
	if was := podstate.Condition(next, v1.DisruptionTarget); was != nil {
		*was = cond
	} else {
		next.Status.Conditions = append(next.Status.Conditions, cond)
	}
	client := c.env.Client.CoreV1().Pods(pod.Namespace)
	if _, err := client.UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	err := client.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
