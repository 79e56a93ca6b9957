package simulate

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"proa/test/history"
)

// Run runs the simulation of a seed. Runs must not be parallel: what makes
// identifiers and random names is the process's own.
func Run(t *testing.T, seed uint64, log *slog.Logger) {
	settle()
	cryptotest.SetGlobalRandom(t, seed)
	utilrand.Seed(int64(seed))
	rand.Seed(int64(seed)) //nolint:staticcheck // client-go's jitter comes from there
	synctest.Test(t, func(t *testing.T) { newWorld(t, newPlan(seed), log).run() })
}

// settle makes the libraries' own globals fit for fake time, once.
var settle = sync.OnceFunc(func() {
	// They tell of every connection that is lost.
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	// One of these remembers when it was called last, from one bubble to the
	// next, and would sleep until then.
	utilruntime.ErrorHandlers = nil
	// Both take long to make, and are not changed by those who share them.
	tracker()
	table()
})

// run goes through the phases of a run.
func (w *world) run() {
	w.note("seed %d: %d nodes, %d users, %v of faults; store %+v, network %+v, lag %v, a crash every %d writes",
		w.plan.seed, w.plan.nodes, w.plan.users, w.plan.chaos, w.plan.store, w.plan.network, w.plan.lag, w.plan.crashEvery)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	defer func() { _ = w.store.Close() }()
	defer parts.Wait()
	defer cancel()

	parts.Go(func() { w.runPlanes(ctx) })
	started := make(chan struct{})
	parts.Go(func() { w.runFleet(ctx, started) })
	<-started

	acting, stop := context.WithTimeout(ctx, w.plan.chaos)
	defer stop()
	var actors sync.WaitGroup
	admin := w.clients("admin")
	book := &history.Ledger{Seed: w.plan.seed, Pause: 4 * time.Second, Failf: w.failf}
	if err := insist(ctx, func() error { return book.Open(ctx, admin) }); err != nil {
		w.failf("the ledger cannot be opened: %v", err)
		return
	}
	own := w.dynamic("admin")
	for _, open := range []func() error{
		func() error { return w.define(ctx, own) },
		func() error { return w.openTreasury(ctx, admin) },
		func() error { return w.openHarbour(ctx, admin) },
	} {
		if err := insist(ctx, open); err != nil {
			w.failf("a room cannot be opened: %v", err)
			return
		}
	}
	actors.Go(func() { w.rebuild(acting, own) })
	for i := range clerks {
		actors.Go(func() { w.clerk(acting, i) })
	}
	for i := range evictors {
		actors.Go(func() { w.evictor(acting, i) })
	}
	for i := range history.LedgerClients {
		actors.Go(func() { book.Run(acting, i, w.clients(fmt.Sprintf("ledger-%d", i))) })
	}
	watchers := w.watchers()
	for _, x := range watchers {
		parts.Go(func() { x.Run(ctx) })
	}
	users := make([]*user, w.plan.users)
	for i := range users {
		users[i] = w.newUser(i)
		actors.Go(func() { users[i].run(acting) })
	}
	w.happen(acting)
	actors.Wait()

	w.note("the faults end")
	w.calm()
	for _, u := range users {
		if err := insist(ctx, func() error { return u.tidy(ctx) }); err != nil {
			w.failf("%s cannot tidy up: %v", u.space, err)
		}
	}
	if err := insist(ctx, func() error { return w.closeTreasury(ctx, admin) }); err != nil {
		w.failf("the treasury cannot be closed: %v", err)
	}
	w.converge(ctx)
	book.Check()
	for _, x := range watchers {
		w.checkWatch(x)
	}
}

// insist repeats what must succeed in the end.
func insist(ctx context.Context, f func() error) error {
	for began := time.Now(); ; {
		err := f()
		if err == nil || time.Since(began) > 10*time.Minute {
			return err
		}
		if sleep(ctx, time.Second) != nil {
			return err
		}
	}
}

// watchers follow all pods, config maps and boats.
func (w *world) watchers() []*history.Watcher {
	k := w.clients("watcher")
	pods, pages := k.CoreV1().Pods(metav1.NamespaceAll), k.CoreV1().ConfigMaps(metav1.NamespaceAll)
	boats := w.dynamic("watcher").Resource(boatsResource)
	return []*history.Watcher{
		{Resource: podsResource.Resource, Pause: time.Second, Failf: w.failf,
			List:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
			Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return pods.Watch(ctx, o) }},
		{Resource: configMapsResource.Resource, Pause: time.Second, Failf: w.failf,
			List:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pages.List(ctx, o) },
			Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return pages.Watch(ctx, o) }},
		{Resource: boatsResource.Resource, Pause: time.Second, Failf: w.failf,
			List:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return boats.List(ctx, o) },
			Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return boats.Watch(ctx, o) }},
	}
}
