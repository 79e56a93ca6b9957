package main

import (
	"context"
	"time"
)

// settle is how long a cluster has to come to rest before that is measured:
// the collector's next forced cycle and the last status updates fall into it.
const settle = 5 * time.Second

func (b *bench) measureRestEmpty(ctx context.Context) error {
	return b.measureRest(ctx, restMemory, restCPU)
}

// measureRest watches everything that runs while nobody asks for anything.
func (b *bench) measureRest(ctx context.Context, memory, cpu figure) error {
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, err := b.running()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := pause(ctx, b.plan.idle); err != nil {
		return err
	}
	after, err := b.running()
	if err != nil {
		return err
	}
	b.figures[memory] = megabytes(rss(after))
	b.figures[cpu] = 100 * cpuBetween(before, after).Seconds() / time.Since(start).Seconds()
	return nil
}

func (b *bench) running() ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	return below(all, b.server, b.cluster.dir), nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
