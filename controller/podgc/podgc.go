// Package podgc removes pods that nobody else will: those of nodes that do not
// exist, those that are being deleted without ever having had a node, and
// finished ones beyond a number.
package podgc

import (
	"cmp"
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
	"proa/controller/podstate"
)

const (
	// maxFinished pods are kept, as upstream does.
	maxFinished = 12500
	// nodeGone is how long a node must have been missing before its pods are
	// removed: it may come back under the same name.
	nodeGone = 40 * time.Second
	// sweepEvery is the safety net under the events.
	sweepEvery = 10 * time.Minute
)

// Definition of the pod garbage collector.
func Definition() controller.Definition {
	return controller.Definition{Name: "pod-garbage-collector-controller", ServiceAccount: "pod-garbage-collector", New: newController}
}

// sweep is the one key of the loop: the decision looks at all pods.
type sweep struct{}

type podGC struct {
	env   controller.Env
	loop  *controller.Loop[sweep]
	pods  corelisters.PodLister
	nodes corelisters.NodeLister
	// missing says since when the node of some pod has not been there.
	missing map[string]time.Time
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &podGC{env: env, pods: core.Pods().Lister(), nodes: core.Nodes().Lister(), missing: map[string]time.Time{}}
	c.loop = controller.NewLoop("podgc", env, 1, c.reconcile)
	if err := controller.Watch(c.loop, core.Nodes().Informer(), func(_, _ *v1.Node, deleted bool) []sweep {
		if !deleted {
			return nil
		}
		return []sweep{{}}
	}); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, core.Pods().Informer(), func(_, pod *v1.Pod, deleted bool) []sweep {
		if deleted || pod.DeletionTimestamp == nil || pod.Spec.NodeName != "" {
			return nil
		}
		return []sweep{{}}
	})
}

// Run implements controller.Controller.
func (c *podGC) Run(ctx context.Context) error {
	c.loop.Add(sweep{})
	return c.loop.Run(ctx)
}

// doomed is a pod to be removed, and why.
type doomed struct {
	pod *v1.Pod
	// condition is set before the removal where the pod was disrupted.
	condition *v1.PodCondition
}

// decide says which pods go. missing is updated to the nodes that are missing
// now; again is when the next of them will have been missing long enough.
func decide(pods []*v1.Pod, exists func(node string) bool, missing map[string]time.Time, now time.Time) (gone []doomed, again time.Duration) {
	again = sweepEvery
	var finished []*v1.Pod
	seen := map[string]bool{}
	for _, p := range pods {
		node := p.Spec.NodeName
		switch {
		case node != "" && !exists(node):
			seen[node] = true
			since, ok := missing[node]
			if !ok {
				missing[node], since = now, now
			}
			if wait := since.Add(nodeGone).Sub(now); wait > 0 {
				again = min(again, wait)
				continue
			}
			gone = append(gone, doomed{p, &v1.PodCondition{
				Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: "DeletionByPodGC",
				Message: "PodGC: node no longer exists", ObservedGeneration: p.Generation,
			}})
		case node == "" && p.DeletionTimestamp != nil:
			gone = append(gone, doomed{pod: p})
		case podstate.Finished(p):
			finished = append(finished, p)
		}
	}
	for node := range missing {
		if !seen[node] {
			delete(missing, node)
		}
	}
	if excess := len(finished) - maxFinished; excess > 0 {
		slices.SortFunc(finished, func(a, b *v1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		for _, p := range finished[:excess] {
			gone = append(gone, doomed{pod: p})
		}
	}
	return gone, again
}

func (c *podGC) reconcile(ctx context.Context, _ sweep) (controller.Result, error) {
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	exists := func(name string) bool {
		_, err := c.nodes.Get(name)
		return !apierrors.IsNotFound(err)
	}
	gone, again := decide(pods, exists, c.missing, c.env.Clock.Now())
	live := map[string]bool{}
	for _, d := range gone {
		if d.condition != nil {
			// The cache may lag: ask the API before ending what a node ran.
			name := d.pod.Spec.NodeName
			if _, asked := live[name]; !asked {
				_, err := c.env.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
				if err != nil && !apierrors.IsNotFound(err) {
					return controller.Done, err
				}
				live[name] = err == nil
			}
			if live[name] {
				continue
			}
		}
		if err := c.remove(ctx, d); err != nil {
			return controller.Done, err
		}
	}
	return controller.Again(again), nil
}

// remove fails a pod that has not finished, and deletes it at once.
func (c *podGC) remove(ctx context.Context, d doomed) error {
	client := c.env.Client.CoreV1().Pods(d.pod.Namespace)
	if !podstate.Finished(d.pod) {
		patch, err := failPatch(d, c.env.Clock.Now())
		if err != nil {
			return err
		}
		if _, err := client.Patch(ctx, d.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		}
	}
	now := int64(0)
	err := client.Delete(ctx, d.pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &d.pod.UID}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
