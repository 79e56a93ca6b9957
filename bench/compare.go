package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// comparison measures the same work on two sides, turn by turn.
type comparison struct {
	subjects []*subject
	ledger   *ledger
	// end is when no further round begins.
	end time.Time
	log io.Writer // progress, for people
	// save keeps what there is so far.
	save func() error
}

// operation is one line, or a few, of the comparison: something that every side
// is asked to do in turns, and what it costs is noted.
type operation struct {
	name   string
	rounds int
	// together lets all sides do it at the same time, for what disturbs nobody.
	together bool
	run      func(context.Context, *turn) error
}

// stage is a list of operations. With up both sides run meanwhile, and otherwise
// an operation brings a side up and down itself.
type stage struct {
	up         bool
	operations []operation
}

// turn is one round of an operation on one side.
type turn struct {
	*subject
	round  int
	ledger *ledger
}

// compareAll measures all stages, and keeps what was measured whatever fails.
func compareAll(ctx context.Context, o options) (err error) {
	facts, err := readFacts(ctx, time.Now())
	if err != nil {
		return err
	}
	ours, err := newCluster(o.binDir)
	if err != nil {
		return err
	}
	ours.pods = manyNodes
	theirs, err := newUpstream(ctx, o.binDir, o.upstream)
	if err != nil {
		return errors.Join(err, ours.cpu.close())
	}
	c := &comparison{ledger: newLedger(ours.name(), theirs.name()), log: os.Stderr, end: time.Now().Add(o.limit)}
	for _, s := range []side{ours, theirs} {
		c.subjects = append(c.subjects, &subject{side: s, plan: o.plan})
	}
	c.save = func() error {
		facts.loadAfter = readLoad()
		return writeComparison(o, facts, c.ledger)
	}
	defer func() {
		err = errors.Join(err, c.down(ctx), ours.cpu.close(), theirs.cpu.close(), c.save())
		fmt.Print(renderComparison(facts, o.plan, c.ledger))
		if err == nil && len(c.ledger.failures) > 0 {
			err = errors.New("not everything could be measured; the page says what")
		}
	}()
	// Nothing waits longer than until then.
	inner, cancel := context.WithDeadlineCause(ctx, c.end, errors.New("the time for the comparison is over (-limit)"))
	defer cancel()
	for _, s := range o.stages() {
		c.run(inner, s, o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// run measures a stage. What fails is noted, and the next goes on.
func (c *comparison) run(ctx context.Context, s stage, o options) {
	s.operations = slices.DeleteFunc(s.operations, func(op operation) bool { return !o.steps.MatchString(op.name) })
	if len(s.operations) == 0 {
		return
	}
	if s.up {
		for _, sub := range c.subjects {
			c.ledger.failed(sub.name(), "start", bringUp(ctx, sub))
		}
	}
	for _, op := range s.operations {
		c.operate(ctx, op)
		c.ledger.failed("this program", "write the page", c.save())
	}
	if s.up {
		c.ledger.failed("this program", "end the clusters", c.down(ctx))
	}
}

// operate lets the sides do one operation: A B A B.
func (c *comparison) operate(ctx context.Context, op operation) {
	var longest time.Duration
	for round := range op.rounds {
		began := time.Now()
		if began.Add(longest).After(c.end) {
			fmt.Fprintf(c.log, "comparing %s: %d of %d rounds, for want of time\n", op.name, round, op.rounds)
			return
		}
		fmt.Fprintf(c.log, "comparing %s, round %d of %d\n", op.name, round+1, op.rounds)
		var beside sync.WaitGroup
		for _, s := range c.subjects {
			if c.ledger.hasFailed(s.name(), op.name) {
				continue
			}
			one := func() {
				c.ledger.failed(s.name(), op.name, op.run(ctx, &turn{subject: s, round: round, ledger: c.ledger}))
			}
			if op.together {
				beside.Go(one)
			} else {
				one()
			}
		}
		beside.Wait()
		longest = max(longest, time.Since(began))
	}
}

func (c *comparison) down(ctx context.Context) error {
	var errs []error
	for _, s := range c.subjects {
		errs = append(errs, s.down(ctx, true))
	}
	return errors.Join(errs...)
}

// bringUp starts a side on fresh data.
func bringUp(ctx context.Context, s *subject) error {
	if err := s.down(ctx, true); err != nil {
		return err
	}
	if _, err := s.up(ctx); err != nil {
		return err
	}
	return s.connect()
}

// measure notes what n operations cost that f does, and how long each took where
// f tells.
func (t *turn) measure(name string, n int, f func() ([]time.Duration, error)) error {
	s, err := t.sample(n, f)
	if err == nil {
		t.ledger.note(name, t.name(), s)
	}
	return err
}

// sample is what n operations cost that f does.
func (t *turn) sample(n int, f func() ([]time.Duration, error)) (s sample, err error) {
	account := t.accounting()
	if err := account.resetPeaks(); err != nil {
		return s, err
	}
	s.n = n
	s.wall, s.cpu, err = t.costOfAll(func() error {
		var err error
		s.latencies, err = f()
		return err
	})
	if err != nil {
		return s, err
	}
	s.peak, err = account.peak()
	return s, err
}
