package objects

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// errorAfter is how long a reader waits for an object whose reads fail, before
// it gets the failure; refusals right after a pod's binding pass within it.
const errorAfter = time.Second

// Cache holds referenced objects. Safe for concurrent use.
type Cache struct {
	ctx    context.Context
	client kubernetes.Interface
	log    *slog.Logger

	mu      sync.Mutex
	items   map[Key]*item
	pods    map[types.UID]map[Key]bool
	changed func(pods []types.UID)
	wg      sync.WaitGroup
}

// item is one object and its watch.
type item struct {
	cancel context.CancelFunc
	refs   map[types.UID]bool
	// first is closed once the object, or its absence, is known.
	first  chan struct{}
	known  bool
	object object // nil if absent
	err    error  // of the last read, while not known
}

// New makes a Cache whose watches end with ctx.
func New(ctx context.Context, client kubernetes.Interface, log *slog.Logger) *Cache {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Cache{ctx: ctx, client: client, log: log, items: map[Key]*item{}, pods: map[types.UID]map[Key]bool{}}
}

// OnChange sets what is called, without locks held, with the pods that refer
// to an object that changed. It must be quick. Call it before Register.
func (c *Cache) OnChange(f func(pods []types.UID)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = f
}

// Wait returns when all watches ended, after the Cache's context did.
func (c *Cache) Wait() { c.wg.Wait() }

// Register starts watching what the pod refers to; a newer pod of the same UID
// replaces the references. Idempotent.
func (c *Cache) Register(pod *corev1.Pod) {
	refs := References(pod)
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.pods[pod.UID]
	if maps.Equal(old, refs) {
		return
	}
	for k := range refs {
		if !old[k] {
			c.add(k, pod.UID)
		}
	}
	for k := range old {
		if !refs[k] {
			c.drop(k, pod.UID)
		}
	}
	c.pods[pod.UID] = refs
}

// Unregister drops the pod's references.
func (c *Cache) Unregister(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.pods[uid] {
		c.drop(k, uid)
	}
	delete(c.pods, uid)
}

func (c *Cache) add(k Key, uid types.UID) {
	it, ok := c.items[k]
	if !ok {
		ctx, cancel := context.WithCancel(c.ctx)
		it = &item{cancel: cancel, refs: map[types.UID]bool{}, first: make(chan struct{})}
		c.items[k] = it
		c.wg.Go(func() { c.follow(ctx, k, it) })
	}
	it.refs[uid] = true
}

func (c *Cache) drop(k Key, uid types.UID) {
	it := c.items[k]
	delete(it.refs, uid)
	if len(it.refs) == 0 {
		it.cancel()
		delete(c.items, k)
	}
}

// Pods are the registered pods; Len the objects watched for them.
func (c *Cache) Pods() []types.UID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.pods))
}

// Len is the number of objects watched.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.items)
}

// ConfigMap returns a registered ConfigMap, waiting for its first read. The
// object is shared: never change it. Absence satisfies apierrors.IsNotFound.
func (c *Cache) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	o, err := c.get(ctx, Key{ConfigMap, namespace, name})
	if err != nil {
		return nil, err
	}
	return o.(*corev1.ConfigMap), nil
}

// Secret returns a registered Secret, as ConfigMap does.
func (c *Cache) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	o, err := c.get(ctx, Key{Secret, namespace, name})
	if err != nil {
		return nil, err
	}
	return o.(*corev1.Secret), nil
}

func (c *Cache) get(ctx context.Context, k Key) (object, error) {
	c.mu.Lock()
	it, ok := c.items[k]
	c.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("object %q/%q not registered", k.Namespace, k.Name)
	}
	select {
	case <-it.first:
	default:
		t := time.NewTimer(errorAfter)
		defer t.Stop()
		select {
		case <-it.first:
		case <-t.C:
			c.mu.Lock()
			err := it.err
			c.mu.Unlock()
			if err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("failed to sync %s cache: timed out waiting for the condition", k.Kind)
		case <-ctx.Done():
			return nil, fmt.Errorf("failed to sync %s cache: %w", k.Kind, ctx.Err())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.object == nil {
		return nil, apierrors.NewNotFound(corev1.Resource(string(k.Kind)), k.Name)
	}
	return it.object, nil
}

// set stores what was read and tells the pods if it is news to them.
func (c *Cache) set(it *item, o object) {
	c.mu.Lock()
	news := !it.known || (o == nil) != (it.object == nil) ||
		o != nil && o.GetResourceVersion() != it.object.GetResourceVersion()
	it.object, it.err = o, nil
	if !it.known {
		it.known = true
		close(it.first)
	}
	var pods []types.UID
	if news && c.changed != nil {
		pods = slices.Collect(maps.Keys(it.refs))
	}
	f := c.changed
	c.mu.Unlock()
	if len(pods) > 0 {
		f(pods)
	}
}

func (c *Cache) fail(it *item, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	it.err = err
}
