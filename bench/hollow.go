package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"proa/node/hollow"
)

// hollowSpace holds the pods on hollow nodes.
const hollowSpace = "hollow"

// hollowLimit is when hollow nodes or their pods that do not get on fail the
// run.
const hollowLimit = 5 * time.Minute

// measureHollow starts the cluster again with many hollow nodes beside its own,
// looks at it at rest, and then lets the scheduler spread pods over them. The
// nodes are part of the server's process, so its CPU time has theirs in it.
func (b *bench) measureHollow(ctx context.Context) error {
	if err := b.cluster.down(ctx, false); err != nil {
		return err
	}
	b.cluster.hollow = b.plan.hollow
	start := time.Now()
	if _, err := b.cluster.up(ctx); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	if err := b.awaitNodes(ctx, b.plan.hollow+1); err != nil {
		return err
	}
	b.figures[hollowReady] = milliseconds(time.Since(start))
	if err := b.measureRest(ctx, hollowMemory, hollowCPU); err != nil {
		return err
	}
	if err := b.namespace(ctx, hollowSpace); err != nil {
		return err
	}
	wall, cpu, err := b.cost(func() error { return b.fillHollow(ctx, b.plan.objects) })
	if err != nil {
		return err
	}
	server, err := readProcess(b.server)
	if err != nil {
		return err
	}
	b.figures[hollowRate] = float64(b.plan.objects) / wall.Seconds()
	b.figures[hollowCost] = cpu.Seconds()
	b.figures[hollowFull] = megabytes(server.rss)
	return nil
}

// awaitNodes waits until so many nodes are Ready.
func (s *subject) awaitNodes(ctx context.Context, n int) error {
	ready := map[string]bool{}
	err := follow(ctx, s.client.CoreV1().Nodes().Watch, func(e watch.Event) bool {
		node, ok := e.Object.(*v1.Node)
		if !ok {
			return false
		}
		if takesPods(node) {
			ready[node.Name] = true
		}
		return len(ready) >= n
	})
	if err != nil {
		return fmt.Errorf("%d of %d nodes are ready: %w", len(ready), n, err)
	}
	return nil
}

// takesPods says whether a node is ready and not tainted.
func takesPods(node *v1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == v1.NodeReady {
			return c.Status == v1.ConditionTrue && len(node.Spec.Taints) == 0
		}
	}
	return false
}

// fillHollow creates pods for hollow nodes and returns when all are Ready.
func (s *subject) fillHollow(ctx context.Context, n int) error {
	pods := s.client.CoreV1().Pods(hollowSpace)
	created := make(chan error, 1)
	go func() {
		created <- parallel(ctx, n, s.plan.workers, func(ctx context.Context, i int) error {
			p := loadPod(fmt.Sprintf("hollow-%d", i))
			p.Spec.SchedulerName = ""
			p.Spec.NodeSelector = map[string]string{hollow.Label: "true"}
			_, err := pods.Create(ctx, p, metav1.CreateOptions{})
			return err
		})
	}()
	ready := map[string]bool{}
	err := follow(ctx, pods.Watch, func(e watch.Event) bool {
		if p, ok := e.Object.(*v1.Pod); ok && isReady(e, p) {
			ready[p.Name] = true
		}
		return len(ready) >= n
	})
	if err != nil {
		err = fmt.Errorf("%d of %d pods are ready: %w", len(ready), n, err)
	}
	return errors.Join(<-created, err)
}

// follow reads events until one is the last. A server cuts a watch of which the
// reader falls behind, as may happen where they share the cores; then another
// begins with what there is.
func follow(ctx context.Context, open func(context.Context, metav1.ListOptions) (watch.Interface, error), last func(watch.Event) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, hollowLimit, errors.New("they do not get on"))
	defer cancel()
	for ctx.Err() == nil {
		w, err := open(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		for e := range w.ResultChan() {
			if last(e) {
				w.Stop()
				return nil
			}
		}
		w.Stop()
	}
	return context.Cause(ctx)
}
