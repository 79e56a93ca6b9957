package source

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"

	"proa/node/pod"
)

// Mirrors keeps a mirror pod in the API for each static pod of the node, and no
// other mirror pods. It is safe for concurrent use.
type Mirrors struct {
	client kubernetes.Interface
	// node returns the Node object, which owns the mirrors; nil before it is
	// registered.
	node func() *v1.Node
	// found is told of the API object behind a static pod, nil when it is gone.
	found func(uid types.UID, mirror *v1.Pod)
	log   *slog.Logger
	queue workqueue.TypedRateLimitingInterface[string]

	mu sync.Mutex
	// synced is set once all mirrors in the API are known; before that none is
	// deleted, nor made.
	synced  bool
	static  map[string]*v1.Pod // by full name
	mirrors map[string]*v1.Pod // by full name
}

// NewMirrors returns a keeper of mirrors.
func NewMirrors(client kubernetes.Interface, node func() *v1.Node, found func(types.UID, *v1.Pod), log *slog.Logger) *Mirrors {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 30*time.Second)
	return &Mirrors{
		client: client, node: node, found: found, log: log,
		queue:   workqueue.NewTypedRateLimitingQueue(limiter),
		static:  map[string]*v1.Pod{},
		mirrors: map[string]*v1.Pod{},
	}
}

// Run works until ctx ends.
func (m *Mirrors) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, m.queue.ShutDown)()
	for {
		name, shutdown := m.queue.Get()
		if shutdown {
			return nil
		}
		if err := m.sync(ctx, name); err == nil {
			m.queue.Forget(name)
		} else if ctx.Err() == nil {
			m.log.Warn("mirror pod not in order; will retry", "pod", name, "error", err)
			m.queue.AddRateLimited(name)
		}
		m.queue.Done(name)
	}
}

// SetStatic says that a static pod runs here.
func (m *Mirrors) SetStatic(p *v1.Pod) {
	m.mu.Lock()
	name := pod.FullName(p)
	m.static[name] = p
	mirror := m.mirrors[name]
	m.mu.Unlock()
	if mirror != nil && matches(mirror, p) {
		m.found(p.UID, mirror)
	}
	m.queue.Add(name)
}

// RemoveStatic says that a static pod is wanted no more.
func (m *Mirrors) RemoveStatic(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, p := range m.static {
		if p.UID == uid {
			delete(m.static, name)
			m.queue.Add(name)
		}
	}
}

// SetMirror tells of a mirror pod in the API; with gone, that it has gone.
func (m *Mirrors) SetMirror(mirror *v1.Pod, gone bool) {
	m.mu.Lock()
	name := pod.FullName(mirror)
	if gone {
		if cur := m.mirrors[name]; cur != nil && cur.UID != mirror.UID {
			m.mu.Unlock()
			return // an older one, long replaced
		}
		delete(m.mirrors, name)
	} else {
		m.mirrors[name] = mirror
	}
	static := m.static[name]
	m.mu.Unlock()
	if static != nil {
		if !gone && matches(mirror, static) {
			m.found(static.UID, mirror)
		} else {
			m.found(static.UID, nil)
		}
	}
	m.queue.Add(name)
}

// Synced says that all mirrors in the API have been told.
func (m *Mirrors) Synced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = true
	for name := range m.static {
		m.queue.Add(name)
	}
	for name := range m.mirrors {
		m.queue.Add(name)
	}
}

// Mirror returns the UID of the static pod's mirror.
func (m *Mirrors) Mirror(fullName string) (types.UID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.mirrors[fullName]; p != nil {
		return p.UID, true
	}
	return "", false
}

// matches reports whether a mirror shows this very static pod.
func matches(mirror, static *v1.Pod) bool {
	return mirror.Annotations[pod.MirrorAnnotation] == static.Annotations[pod.HashSourceAnnotation]
}

// sync puts one mirror in order.
func (m *Mirrors) sync(ctx context.Context, name string) error {
	m.mu.Lock()
	synced, static, mirror := m.synced, m.static[name], m.mirrors[name]
	m.mu.Unlock()
	if !synced {
		return nil
	}
	if mirror != nil && (static == nil || !matches(mirror, static) || mirror.DeletionTimestamp != nil) {
		err := m.client.CoreV1().Pods(mirror.Namespace).Delete(ctx, mirror.Name, metav1.DeleteOptions{
			GracePeriodSeconds: ptr.To[int64](0), Preconditions: metav1.NewUIDPreconditions(string(mirror.UID)),
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete outdated mirror pod: %w", err)
		}
		m.mu.Lock()
		if cur := m.mirrors[name]; cur != nil && cur.UID == mirror.UID {
			delete(m.mirrors, name)
		}
		m.mu.Unlock()
		mirror = nil
	}
	if static == nil || mirror != nil {
		return nil
	}
	node := m.node()
	if node == nil {
		return fmt.Errorf("the node is not registered yet")
	}
	made, err := m.client.CoreV1().Pods(static.Namespace).Create(ctx, mirrorOf(static, node), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a pod of the mirror's name is in the way: %w", err)
	}
	if err != nil {
		return fmt.Errorf("create mirror pod: %w", err)
	}
	m.SetMirror(made, false)
	return nil
}

// mirrorOf is the mirror pod of a static pod.
func mirrorOf(static *v1.Pod, node *v1.Node) *v1.Pod {
	p := static.DeepCopy()
	p.UID, p.ResourceVersion, p.Status = "", "", v1.PodStatus{}
	p.Annotations[pod.MirrorAnnotation] = static.Annotations[pod.HashSourceAnnotation]
	p.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: ptr.To(true),
	}}
	return p
}
