package hollow

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller"
)

// nodeRetry is when a node that could not say something tries again.
const nodeRetry = time.Second

// reconcileNode registers a node and keeps its heartbeats.
func (f *Fleet) reconcileNode(ctx context.Context, name string, n *node) controller.Result {
	now := f.config.Clock.Now()
	object := n.newest(f.object(name))
	b := n.beats
	if b.reported.IsZero() {
		// The first report is the registration, or its renewal.
		b.reported = now
	}
	plan := decideNode(object, object != nil && object == n.judged, n.facts, b, now)
	if err := f.applyNode(ctx, name, n, object, plan, now); err != nil {
		if ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			f.config.Log.Warn("a hollow node could not report; it will try again", "node", name, "retry", nodeRetry, "err", err)
		}
		return controller.Again(nodeRetry)
	}
	return controller.Again(plan.next.Sub(now))
}

// object is the node as the informer has it, or nil.
func (f *Fleet) object(name string) *v1.Node {
	n, err := f.lister.Get(name)
	if err != nil {
		return nil
	}
	return n
}

// newest of what the informer has and what was written; the informer's, which
// is shared, as soon as it has caught up.
func (n *node) newest(informed *v1.Node) *v1.Node {
	if n.written != nil && (informed == nil || newer(n.written.ResourceVersion, informed.ResourceVersion)) {
		return n.written
	}
	n.written = nil
	return informed
}

func (f *Fleet) applyNode(ctx context.Context, name string, n *node, object *v1.Node, plan nodePlan, now time.Time) error {
	nodes := f.config.Client.CoreV1().Nodes()
	switch {
	case plan.register:
		made, err := nodes.Create(ctx, n.facts.object(now), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			made, err = nodes.Get(ctx, name, metav1.GetOptions{})
		}
		if err != nil {
			return err
		}
		n.written, n.beats.reported, object = made, now, made
	case plan.write != nil:
		got, err := nodes.UpdateStatus(ctx, plan.write, metav1.UpdateOptions{})
		if err != nil {
			n.forgetMissing(err)
			return err
		}
		n.written, n.beats.reported = got, now
	default:
		n.judged = object
	}
	if !plan.renew {
		return nil
	}
	return f.renew(ctx, name, n, object, now)
}

// forgetMissing makes a node register anew that somebody has deleted.
func (n *node) forgetMissing(err error) {
	if apierrors.IsNotFound(err) {
		n.written = nil
	}
}

// renew writes the lease, and finds it again where another one is there.
func (f *Fleet) renew(ctx context.Context, name string, n *node, object *v1.Node, now time.Time) error {
	leases := f.config.Client.CoordinationV1().Leases(v1.NamespaceNodeLease)
	want := renewed(n.lease, object, name, now)
	first := n.beats.renewed.IsZero()
	var err error
	if n.lease == nil {
		want, err = leases.Create(ctx, want, metav1.CreateOptions{})
	} else {
		want, err = leases.Update(ctx, want, metav1.UpdateOptions{})
	}
	switch {
	case err == nil:
		n.lease = want
		n.lease.ManagedFields = nil
		n.beats.renewed = now
		if first {
			// Spread what begins together evenly over the interval.
			n.beats.renewed = now.Add(-renewInterval * time.Duration(n.index) / time.Duration(len(f.nodes)))
			f.loop.AddAfter(key{node: name}, n.beats.renewed.Add(renewInterval).Sub(now))
		}
		return nil
	case apierrors.IsNotFound(err):
		n.lease = nil
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		if l, getErr := leases.Get(ctx, name, metav1.GetOptions{}); getErr == nil {
			n.lease = l
			n.lease.ManagedFields = nil
		}
	}
	return err
}
