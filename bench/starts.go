package main

import (
	"context"
	"time"
)

// measureStarts starts the cluster on fresh data several times, then on the
// data of the last of these, and leaves it running.
func (b *bench) measureStarts(ctx context.Context) error {
	for _, kind := range []struct {
		api, node figure
		purge     bool
	}{
		{freshAPI, freshNode, true},
		{againAPI, againNode, false},
	} {
		var api, node []time.Duration
		for range b.plan.starts {
			if err := b.cluster.down(ctx, kind.purge); err != nil {
				return err
			}
			t, err := b.cluster.up(ctx)
			if err != nil {
				return err
			}
			api, node = append(api, t.api), append(node, t.node)
		}
		b.figures[kind.api] = milliseconds(median(api))
		b.figures[kind.node] = milliseconds(median(node))
	}
	return b.connect()
}

// connect notes which process the server is, and makes a client of it.
func (b *bench) connect() (err error) {
	if b.server, err = b.cluster.server(); err != nil {
		return err
	}
	return b.subject.connect()
}
