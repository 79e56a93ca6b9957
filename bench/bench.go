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
)

// bench is one run. Its steps go one after the other and note into figures.
type bench struct {
	subject
	cluster *cluster // its side
	server  int      // process id
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
	b := &bench{subject: subject{side: c, plan: o.plan}, cluster: c, figures: figures{}, out: os.Stderr, profiles: o.profiles}
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
	return write(o.out, facts.date.Format(time.DateOnly), text)
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

// median of what is not empty; the higher of the two in the middle of an even
// number.
func median(ds []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(ds))
	return s[len(s)/2]
}
