package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"proa/test/parts"
)

// manyNodes is a range of pods that has room for thousands of nodes.
const manyNodes = "10.160.0.0/11"

// stages are what is compared, in this order.
func (o options) stages() []stage {
	p := o.plan
	batch := p.objects / p.rounds
	requests := func(work string, f func(*subject) func(ctx context.Context, ns, name string) error) operation {
		return operation{name: work, rounds: p.rounds, run: func(ctx context.Context, t *turn) error {
			return t.measure(work, batch, func() ([]time.Duration, error) {
				return t.each(ctx, t.round*batch, batch, f(t.subject))
			})
		}}
	}
	type pods = func(ctx context.Context, ns, name string) error
	up := []operation{
		{name: "idle", rounds: 1, together: true, run: o.compareRest},
		{name: "one pod", rounds: p.singles + 1, run: comparePods("one pod", 1, 1)},
		{name: "pods at once", rounds: p.bursts, run: comparePods(fmt.Sprintf("%d pods at once", p.burst), p.burst, 0)},
		{name: "namespaces", rounds: 1, run: makeSpaces},
		requests("create", func(s *subject) pods { return s.createPod }),
		requests("get", func(s *subject) pods { return s.getPod }),
		requests("patch", func(s *subject) pods { return s.patchPod }),
		requests("apply", func(s *subject) pods { return s.applyPod }),
	}
	for _, l := range []struct{ work, contentType, selector, limit string }{
		{"list a page of 500, protobuf", protobuf, "", "500"},
		{fmt.Sprintf("list %d, protobuf", p.objects), protobuf, "", ""},
		{fmt.Sprintf("list %d, JSON", p.objects), jsonType, "", ""},
		{fmt.Sprintf("list a tenth of %d by label, protobuf", p.objects), protobuf, "slot=7", ""},
		{fmt.Sprintf("list a tenth of %d by label, JSON", p.objects), jsonType, "slot=7", ""},
	} {
		up = append(up, operation{name: l.work, rounds: p.rounds, run: func(ctx context.Context, t *turn) error {
			return t.compareList(ctx, l.work, l.contentType, l.selector, l.limit)
		}})
	}
	for _, w := range p.fanOuts {
		work := fmt.Sprintf("deliver an event to %d watchers", w.watchers)
		up = append(up, operation{name: work, rounds: p.rounds, run: func(ctx context.Context, t *turn) error {
			return t.compareWatch(ctx, work, w)
		}})
	}
	up = append(up, requests("delete", func(s *subject) pods { return s.deletePod }))
	return []stage{
		{operations: []operation{{name: "start", rounds: p.starts, run: compareStart}}},
		{up: true, operations: up},
		{operations: []operation{{name: "hollow nodes", rounds: p.hollowRounds, run: o.compareHollow}}},
	}
}

// compareStart starts on fresh data, and removes all again.
func compareStart(ctx context.Context, t *turn) error {
	if err := t.down(ctx, true); err != nil {
		return err
	}
	var times startTimes
	err := t.measure("start, fresh data → node Ready", 1, func() (_ []time.Duration, err error) {
		times, err = t.up(ctx)
		return []time.Duration{times.node}, err
	})
	if err == nil {
		t.ledger.note("start, fresh data → API ready", t.name(), sample{n: 1, wall: times.api, latencies: []time.Duration{times.api}})
	}
	return errors.Join(err, t.down(ctx, true))
}

// compareRest looks at a side while nobody asks it for anything: an operation is
// a second.
func (o options) compareRest(ctx context.Context, t *turn) error {
	if err := pause(ctx, settle); err != nil {
		return err
	}
	seconds := max(int(o.plan.idle/time.Second), 1)
	s, err := t.sample(seconds, func() ([]time.Duration, error) { return nil, pause(ctx, o.plan.idle) })
	if err != nil {
		return err
	}
	s.given = true
	t.ledger.note("a second at rest", t.name(), s)
	return nil
}

// comparePods lets pods come and go. The first rounds fill caches and do not
// count.
func comparePods(work string, n, uncounted int) func(context.Context, *turn) error {
	return func(ctx context.Context, t *turn) error {
		if err := t.namespaceOnce(ctx, containerSpace); err != nil {
			return err
		}
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("pod-%d-%d-%d", n, t.round, i)
		}
		if err := t.accounting().resetPeaks(); err != nil {
			return err
		}
		var peak int64
		l, err := t.lives(ctx, names, func() (err error) {
			peak, err = t.accounting().peak()
			return err
		})
		if err != nil || t.round < uncounted {
			return err
		}
		t.ledger.note(work+": create → Ready", t.name(), sample{n: n, wall: l.ready, cpu: l.readyCPU, latencies: []time.Duration{l.ready}, peak: peak})
		t.ledger.note(work+": delete → gone", t.name(), sample{n: n, wall: l.gone, cpu: l.goneCPU, latencies: []time.Duration{l.gone}})
		return nil
	}
}

func makeSpaces(ctx context.Context, t *turn) error {
	for _, ns := range append(loadSpaces[:], watchSpace) {
		if err := t.namespaceOnce(ctx, ns); err != nil {
			return err
		}
	}
	return nil
}

// compareList reads a list several times. As the load's own lists, it is not
// decoded but once, to see that it is one.
func (t *turn) compareList(ctx context.Context, work, contentType, selector, limit string) error {
	client, err := t.side.client(contentType, false)
	if err != nil {
		return err
	}
	request := func() *rest.Request {
		r := client.CoreV1().RESTClient().Get().Resource("pods").Param("labelSelector", selector)
		if limit != "" {
			r.Param("limit", limit)
		}
		return r
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: 1})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return errors.New("there are no pods to list")
	}
	return t.measure(work, t.plan.lists, func() ([]time.Duration, error) {
		var took []time.Duration
		for range t.plan.lists {
			began := time.Now()
			if _, err := request().DoRaw(ctx); err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
		}
		return took, nil
	})
}

// fanOut is a number of watchers, and of events that each of them receives.
type fanOut struct{ watchers, events int }

// compareWatch delivers events. The creates that make them are in the cost.
func (t *turn) compareWatch(ctx context.Context, work string, w fanOut) error {
	a, err := t.openWatches(ctx, w.watchers)
	defer a.close()
	if err != nil {
		return err
	}
	prefix := fmt.Sprintf("w%d-%d", w.watchers, t.round)
	return t.measure(work, w.watchers*w.events, func() ([]time.Duration, error) {
		return nil, a.fanOut(prefix, w.events)
	})
}

// compareHollow starts a side with many nodes that run no containers, and lets
// its scheduler spread pods over them. The nodes are a process of Proa's beside
// either side, and their CPU time is nobody's.
func (o options) compareHollow(ctx context.Context, t *turn) (err error) {
	if err := bringUp(ctx, t.subject); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.down(ctx, true)) }()
	nodes, err := parts.Run(filepath.Dir(t.kubeconfig()), "hollow-nodes", filepath.Join(o.binDir, "proa"),
		"hollow", "--kubeconfig", t.kubeconfig(), "--nodes", strconv.Itoa(o.plan.hollow), "--log-level", "warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nodes.Stop()) }()
	if err := t.measure(fmt.Sprintf("%d nodes → Ready", o.plan.hollow), o.plan.hollow, func() ([]time.Duration, error) {
		return nil, t.awaitNodes(ctx, o.plan.hollow+1)
	}); err != nil {
		return err
	}
	if err := t.namespace(ctx, hollowSpace); err != nil {
		return err
	}
	return t.measure(fmt.Sprintf("%d pods onto %d nodes → Ready", o.plan.hollowPods, o.plan.hollow), o.plan.hollowPods, func() ([]time.Duration, error) {
		return nil, t.fillHollow(ctx, o.plan.hollowPods)
	})
}
