package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Key names one object in most controllers.
type Key = types.NamespacedName

// Result says when a key that was reconciled wants to be looked at again.
type Result struct{ after time.Duration }

// Done is the result of a reconcile that waits for the next event.
var Done = Result{}

// Again asks for another look after d, or sooner if an event comes first. A d
// of zero or less asks for it at once.
func Again(d time.Duration) Result { return Result{after: max(d, time.Nanosecond)} }

// Retry delays of a failing key: exponential between these bounds, per key.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 5 * time.Minute
)

// Loop is the shell around a reconcile function. Watch what matters before Run.
type Loop[K comparable] struct {
	name      string
	workers   int
	log       *slog.Logger
	reconcile func(context.Context, K) (Result, error)
	queue     workqueue.TypedRateLimitingInterface[K]
	synced    []cache.InformerSynced
	handlers  []func()
}

// NewLoop makes a loop that reconciles up to workers keys at once, never the
// same key twice at a time.
func NewLoop[K comparable](name string, env Env, workers int, reconcile func(context.Context, K) (Result, error)) *Loop[K] {
	return &Loop[K]{
		name: name, workers: workers, log: env.Log, reconcile: reconcile,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[K](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[K]{Name: name, Clock: env.Clock}),
	}
}

// Add puts a key into the queue.
func (l *Loop[K]) Add(key K) { l.queue.Add(key) }

// AddAfter puts a key into the queue after d.
func (l *Loop[K]) AddAfter(key K, d time.Duration) { l.queue.AddAfter(key, d) }

// Watch calls keys for every event of the informer and adds what it returns.
// old is the zero T for an added object, and obj for a deleted one is the last
// state that was seen (deleted is true then). T is the pointer type of the
// informer's objects.
func Watch[K comparable, T any](l *Loop[K], informer cache.SharedIndexInformer, keys func(old, obj T, deleted bool) []K) error {
	add := func(old, obj T, deleted bool) {
		for _, k := range keys(old, obj, deleted) {
			l.queue.Add(k)
		}
	}
	var none T
	return Observe(l, informer, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { add(none, o.(T), false) },
		UpdateFunc: func(old, o any) { add(old.(T), o.(T), false) },
		DeleteFunc: func(o any) {
			if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			if obj, ok := o.(T); ok {
				add(none, obj, true)
			}
		},
	})
}

// Observe calls a handler for every event of the informer. It is for loops whose
// keys come from a state that the handler keeps; others use Watch.
func Observe[K comparable](l *Loop[K], informer cache.SharedIndexInformer, h cache.ResourceEventHandler) error {
	reg, err := informer.AddEventHandler(h)
	if err != nil {
		return fmt.Errorf("controller %s: watch: %w", l.name, err)
	}
	l.synced = append(l.synced, reg.HasSynced)
	l.handlers = append(l.handlers, func() { _ = informer.RemoveEventHandler(reg) })
	return nil
}

// Need makes Run wait for the first list of informers too whose objects are
// read, but whose events concern no key.
func (l *Loop[K]) Need(informers ...cache.SharedIndexInformer) {
	for _, i := range informers {
		l.synced = append(l.synced, i.HasSynced)
	}
}

// Self is the keys function of objects that are reconciled themselves.
func Self[T any](_, obj T, _ bool) []Key {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil
	}
	return []Key{{Namespace: m.GetNamespace(), Name: m.GetName()}}
}

// Keys are those of the objects that a lister has found. Where it reports an error
// it has found none.
func Keys[T metav1.Object](found []T, err error) []Key {
	if err != nil {
		return nil
	}
	keys := make([]Key, 0, len(found))
	for _, o := range found {
		keys = append(keys, Key{Namespace: o.GetNamespace(), Name: o.GetName()})
	}
	return keys
}

// Run starts the workers once every watched informer has delivered its first
// list, and returns when ctx has ended and the last worker is done.
func (l *Loop[K]) Run(ctx context.Context) error {
	// Also where a worker saw the end of ctx before the queue was told of it.
	defer l.Close()
	if !cache.WaitForCacheSync(ctx.Done(), l.synced...) {
		return ctx.Err()
	}
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()
	var wg sync.WaitGroup
	for range l.workers {
		wg.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	wg.Wait()
	return nil
}

// Close gives back what a loop holds. Run does so when it returns; only who may
// not come to Run need call it. It may be called again.
func (l *Loop[K]) Close() {
	for _, remove := range l.handlers {
		remove()
	}
	l.queue.ShutDown()
}

func (l *Loop[K]) next(ctx context.Context) bool {
	key, quit := l.queue.Get()
	if quit {
		return false
	}
	defer l.queue.Done(key)
	if ctx.Err() != nil {
		return false
	}
	res, err := l.guarded(ctx, key)
	switch {
	case err != nil && ctx.Err() != nil:
		return false
	case err != nil:
		if routine(err) {
			l.log.Debug("reconcile meets a newer state", "controller", l.name, "key", key, "err", err)
		} else {
			l.log.Warn("reconcile failed and will be retried", "controller", l.name, "key", key, "err", err)
		}
		l.queue.AddRateLimited(key)
	case res.after > 0:
		l.queue.Forget(key)
		l.queue.AddAfter(key, res.after)
	default:
		l.queue.Forget(key)
	}
	return true
}

// guarded keeps a panic in one key from ending the others: it becomes that
// key's error, with its stack.
func (l *Loop[K]) guarded(ctx context.Context, key K) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.reconcile(ctx, key)
}

// routine errors come from acting on a cache that lags, and pass by themselves.
func routine(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) ||
		errors.Is(err, context.Canceled) ||
		apierrors.HasStatusCause(err, "NamespaceTerminating")
}
