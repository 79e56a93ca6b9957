package hollow

import (
	"context"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/controller"
	"proa/node/admit"
)

// reconcilePod takes a pod one step on.
func (f *Fleet) reconcilePod(ctx context.Context, k key, n *node) controller.Result {
	now := f.config.Clock.Now()
	n.mu.Lock()
	g := n.pods[k.pod]
	if g == nil {
		n.mu.Unlock()
		return controller.Done
	}
	p, before := g.pod, g.life
	if p == nil {
		delete(n.pods, k.pod)
		n.free(&before)
		n.mu.Unlock()
		f.tell(k, before.runs(), false)
		return controller.Done
	}
	if before.seen.IsZero() {
		g.life = accept(p, f.refuse(n, g, p), now)
	}
	if g.life.slot < 0 && g.life.ended.IsZero() {
		n.allot(p, g)
	}
	if g.lost {
		g.life.ended = now
	}
	plan := decidePod(p, g.life, n.place(f.config.Timing, p, g), now)
	if !plan.life.ended.IsZero() {
		n.free(&plan.life)
	}
	g.life = plan.life
	removed, lost := g.removed, g.lost
	n.mu.Unlock()
	f.tell(k, before.runs(), plan.life.runs())
	if lost {
		return controller.Done
	}
	if err := f.applyPod(ctx, n, g, p, plan, removed); err != nil {
		return f.podRetry(ctx, k, g, p, err)
	}
	g.failures = 0
	if plan.next.IsZero() {
		return controller.Done
	}
	return controller.Again(plan.next.Sub(now))
}

// tell reports containers that have begun to run, or have ended.
func (f *Fleet) tell(k key, before, after bool) {
	if f.config.Ran != nil && before != after {
		f.config.Ran(k.node, k.pod, after)
	}
}

// refuse is the node's own check of a pod that it has not run before.
func (f *Fleet) refuse(n *node, g *guest, p *v1.Pod) *admit.Rejection {
	object := f.object(p.Spec.NodeName)
	if object == nil || terminal(p) || p.DeletionTimestamp != nil || running(p) != nil {
		return nil
	}
	var others []*v1.Pod
	for _, other := range n.pods {
		if other != g && other.pod != nil && !other.life.seen.IsZero() && other.life.ended.IsZero() {
			others = append(others, other.pod)
		}
	}
	return admit.Check(admit.Node{Object: object}, p, others)
}

// allot gives a pod an address: the one that it has had, or a free one.
func (n *node) allot(p *v1.Pod, g *guest) {
	if p.Spec.HostNetwork {
		return
	}
	if k := slotOf(n.index, p.Status.PodIP); k >= 0 {
		n.taken.hold(k)
		g.life.slot = k
		return
	}
	if k, ok := n.taken.take(); ok {
		g.life.slot = k
	}
}

// free gives back what a pod holds.
func (n *node) free(l *life) {
	if l.slot >= 0 {
		n.taken.release(l.slot)
		l.slot = -1
	}
}

func (n *node) place(t Timing, p *v1.Pod, g *guest) place {
	at := place{address: nodeAddress(n.index), timing: t, podIP: p.Status.PodIP}
	if g.life.slot >= 0 {
		at.podIP = podAddress(n.index, g.life.slot)
	}
	return at
}

// applyPod carries out a plan.
func (f *Fleet) applyPod(ctx context.Context, n *node, g *guest, p *v1.Pod, plan podPlan, removed bool) error {
	pods := f.config.Client.CoreV1().Pods(p.Namespace)
	if plan.write != nil {
		got, err := pods.UpdateStatus(ctx, plan.write, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		n.mu.Lock()
		if g.pod != nil && newer(got.ResourceVersion, g.pod.ResourceVersion) {
			g.pod = got
		}
		n.mu.Unlock()
		if p.DeletionTimestamp == nil || plan.life.ended.IsZero() {
			return nil
		}
	} else if !plan.remove {
		return nil
	}
	if removed {
		return nil
	}
	err := pods.Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0), Preconditions: metav1.NewUIDPreconditions(string(p.UID)),
	})
	if err == nil {
		g.removed = true
	}
	return err
}

// podRetry says when to look again after a failure. A pod that was changed by
// another comes back with its event; one that is gone does too.
func (f *Fleet) podRetry(ctx context.Context, k key, g *guest, p *v1.Pod, err error) controller.Result {
	wait := min(firstRetry<<min(g.failures, 10), lastRetry)
	g.failures++
	switch {
	case ctx.Err() != nil:
		return controller.Done
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		f.refresh(ctx, k, g, p)
	default:
		f.config.Log.Warn("a pod's status could not be written; it will be tried again", "pod", p.Namespace+"/"+p.Name, "node", k.node, "retry", wait, "err", err)
	}
	return controller.Again(wait)
}

// refresh reads a pod of which the informer's copy was too old to be written.
func (f *Fleet) refresh(ctx context.Context, k key, g *guest, p *v1.Pod) {
	got, err := f.config.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && got.UID != p.UID:
		// It stays known until the informer sees its end: one that lags would
		// bring it back, and it must not run twice.
		n := f.nodes[k.node]
		n.mu.Lock()
		g.lost = true
		n.mu.Unlock()
	case err == nil:
		f.set(got)
	}
}
