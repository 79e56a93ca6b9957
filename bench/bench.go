package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// bench is one run. Its steps go one after the other and note into figures.
type bench struct {
	plan    plan
	cluster *cluster
	client  kubernetes.Interface // protobuf, over the shared connection
	server  int                  // process id
	figures figures
	out     io.Writer // progress, for people
	// profiles is the folder that profiles of the server go to, empty for none.
	profiles string
}

// step is one part of a run.
type step struct {
	name string
	run  func(context.Context) error
}

// measureAll runs every step in a cluster that it starts and removes, prints
// the table and writes it.
func measureAll(ctx context.Context, o options) (err error) {
	facts, err := readFacts(ctx, time.Now())
	if err != nil {
		return err
	}
	c, err := newCluster(o.binDir)
	if err != nil {
		return err
	}
	b := &bench{plan: o.plan, cluster: c, figures: figures{}, out: os.Stderr, profiles: o.profiles}
	defer func() { err = errors.Join(err, c.down(ctx, true), c.cpu.close()) }()
	steps := []step{
		{"starts", b.measureStarts},
		{"rest without pods", b.measureRestEmpty},
		{"pods one at a time", b.measureSingles},
		{"pods at once", b.measureBurst},
		{"requests", b.measureLoad},
		{"watches", b.measureWatch},
		{"hollow nodes", b.measureHollow},
	}
	if o.pods {
		steps = steps[:4]
	}
	for _, step := range steps {
		if !o.steps.MatchString(step.name) && step.name != "starts" {
			continue // the first step starts the cluster
		}
		fmt.Fprintf(b.out, "measuring %s\n", step.name)
		if failed := step.run(ctx); failed != nil {
			// What was measured before it is worth seeing, but no result.
			err = fmt.Errorf("%s: %w", step.name, failed)
			break
		}
	}
	facts.loadAfter = readLoad()
	text := render(facts, o.plan, judge(b.figures, o.plan))
	fmt.Print(text)
	if err != nil || o.out == "" {
		return err
	}
	return write(o.out, facts.date, text)
}

// cost runs f and returns the time it took and the server's CPU time.
func (b *bench) cost(f func() error) (wall, cpu time.Duration, err error) {
	before, err := readProcess(b.server)
	if err != nil {
		return 0, 0, fmt.Errorf("the server's CPU time: %w", err)
	}
	start := time.Now()
	if err := f(); err != nil {
		return 0, 0, err
	}
	wall = time.Since(start)
	after, err := readProcess(b.server)
	if err != nil {
		return 0, 0, fmt.Errorf("the server's CPU time: %w", err)
	}
	return wall, after.cpu - before.cpu, nil
}

// parallel calls f for 0…n-1 from at most workers goroutines and returns the
// first error.
func parallel(ctx context.Context, n, workers int, f func(context.Context, int) error) error {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i := range n {
		if inner.Err() != nil {
			break
		}
		g.Go(func() error { return f(inner, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// namespace makes one and waits until pods can be created in it, which takes
// its default service account.
func (b *bench) namespace(ctx context.Context, name string) error {
	if _, err := b.client.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	w, err := b.client.CoreV1().ServiceAccounts(name).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", "default").String(),
	})
	if err != nil {
		return fmt.Errorf("wait for the service account of %s: %w", name, err)
	}
	defer w.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case _, ok := <-w.ResultChan():
		if !ok {
			return fmt.Errorf("the watch on the service account of %s ended", name)
		}
		return nil
	}
}

// median of what is not empty; the higher of the two in the middle of an even
// number.
func median(ds []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(ds))
	return s[len(s)/2]
}
