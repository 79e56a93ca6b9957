package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	wall, cpu, err := b.cost(func() error { return b.fillHollow(ctx) })
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
func (b *bench) awaitNodes(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, hollowLimit, errors.New("the nodes do not get ready"))
	defer cancel()
	w, err := b.client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	defer w.Stop()
	ready := map[string]bool{}
	for len(ready) < n {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes are ready: %w", len(ready), n, context.Cause(ctx))
		case e, ok := <-w.ResultChan():
			if !ok {
				return errors.New("the watch on the nodes ended early")
			}
			node, ok := e.Object.(*v1.Node)
			if !ok {
				continue
			}
			for _, c := range node.Status.Conditions {
				if c.Type == v1.NodeReady && c.Status == v1.ConditionTrue && len(node.Spec.Taints) == 0 {
					ready[node.Name] = true
				}
			}
		}
	}
	return nil
}

// fillHollow creates pods for hollow nodes and returns when all are Ready.
func (b *bench) fillHollow(ctx context.Context) error {
	pods := b.client.CoreV1().Pods(hollowSpace)
	w, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	defer w.Stop()
	names := make([]string, b.plan.objects)
	for i := range names {
		names[i] = fmt.Sprintf("hollow-%d", i)
	}
	created := make(chan error, 1)
	go func() {
		created <- parallel(ctx, len(names), b.plan.workers, func(ctx context.Context, i int) error {
			p := loadPod(names[i])
			p.Spec.SchedulerName = ""
			p.Spec.NodeSelector = map[string]string{hollow.Label: "true"}
			_, err := pods.Create(ctx, p, metav1.CreateOptions{})
			return err
		})
	}()
	err = await(ctx, w.ResultChan(), names, isReady)
	return errors.Join(<-created, err)
}
