package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"

	"proa/controller"
)

// Config of the routes of one node.
type Config struct {
	// Node is the name of this node.
	Node string
	// Cluster are the ranges of all pods.
	Cluster []netip.Prefix
	// Informers must be allowed to list and watch nodes. They are started by
	// the caller.
	Informers informers.SharedInformerFactory
	Log       *slog.Logger
}

// all is the one key of the loop: the decision looks at all nodes.
type all struct{}

// Routes keeps the routes of one node.
type Routes struct {
	config Config
	nodes  corelisters.NodeLister
	loop   *controller.Loop[all]
	table  table
	// unreachable are the nodes' addresses that have been complained of.
	unreachable map[netip.Addr]bool
}

// New prepares the routes; Run makes them.
func New(c Config) (*Routes, error) {
	nodes := c.Informers.Core().V1().Nodes()
	r := &Routes{config: c, nodes: nodes.Lister(), table: table{c.Cluster}, unreachable: map[netip.Addr]bool{}}
	r.loop = controller.NewLoop("routes", controller.Env{Clock: clock.RealClock{}, Log: c.Log}, 1, r.reconcile)
	return r, controller.Watch(r.loop, nodes.Informer(), func(old, n *v1.Node, deleted bool) []all {
		// Nodes report often, and seldom anything that matters here.
		if old != nil && slices.Equal(old.Spec.PodCIDRs, n.Spec.PodCIDRs) && slices.Equal(old.Status.Addresses, n.Status.Addresses) {
			return nil
		}
		return []all{{}}
	})
}

// Run keeps the routes until ctx ends. They stay after that.
func (r *Routes) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	watching.Go(func() { r.table.watch(ctx, r.config.Log, func() { r.loop.Add(all{}) }) })
	defer watching.Wait()
	return r.loop.Run(ctx)
}

func (r *Routes) reconcile(context.Context, all) (controller.Result, error) {
	nodes, err := r.nodes.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	have, err := r.table.list()
	if err != nil {
		return controller.Done, err
	}
	set, remove := difference(wanted(r.config.Node, r.config.Cluster, nodes), have)
	var errs []error
	for _, x := range remove {
		if err := r.table.remove(x); err != nil {
			errs = append(errs, fmt.Errorf("remove the route to %s: %w", x.dst, err))
		}
	}
	for _, x := range set {
		switch err := r.table.set(x); {
		case errors.Is(err, errNotConnected):
			if !r.unreachable[x.via] {
				r.unreachable[x.via] = true
				r.config.Log.Warn("no direct route to the pods of a node; the network between has to know the way", "pods", x.dst, "node", x.via)
			}
		case err != nil:
			errs = append(errs, fmt.Errorf("make the route to %s by %s: %w", x.dst, x.via, err))
		default:
			delete(r.unreachable, x.via)
		}
	}
	return controller.Done, errors.Join(errs...)
}

// Remove takes away every route to pods of the cluster that was made here.
func Remove(cluster []netip.Prefix) error {
	t := table{cluster}
	have, err := t.list()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range have {
		errs = append(errs, t.remove(r))
	}
	return errors.Join(errs...)
}
