package informer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientcache "k8s.io/client-go/tools/cache"

	"proa/cache"
	"proa/resource"
)

// ListerWatcher lists and watches one served version of a resource in the
// cache. It implements client-go's ListerWatcher, with and without context.
type ListerWatcher struct {
	hub       *cache.Hub
	match     resource.Match
	namespace string
}

var (
	_ clientcache.ListerWatcher            = (*ListerWatcher)(nil)
	_ clientcache.ListerWatcherWithContext = (*ListerWatcher)(nil)
)

// NewListerWatcher makes a ListerWatcher for a namespace, or for all if it is
// empty.
func NewListerWatcher(h *cache.Hub, m resource.Match, namespace string) *ListerWatcher {
	return &ListerWatcher{hub: h, match: m, namespace: namespace}
}

// IsWatchListSemanticsUnSupported makes reflectors list first: one list of
// pointers is cheaper than as many events. Watches with sendInitialEvents work
// all the same.
func (lw *ListerWatcher) IsWatchListSemanticsUnSupported() bool { return true }

// List is a list of shared objects.
type List struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject implements runtime.Object.
func (l *List) DeepCopyObject() runtime.Object {
	c := &List{TypeMeta: l.TypeMeta, Items: make([]runtime.Object, len(l.Items))}
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	for i, item := range l.Items {
		c.Items[i] = item.DeepCopyObject()
	}
	return c
}

// List implements client-go's Lister.
func (lw *ListerWatcher) List(o metav1.ListOptions) (runtime.Object, error) {
	return lw.ListWithContext(context.Background(), o)
}

// ListWithContext implements client-go's ListerWithContext. It returns a
// *List; limits are ignored, since nothing is saved by pages.
func (lw *ListerWatcher) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	p, err := lw.predicate(o)
	if err != nil {
		return nil, err
	}
	m, rev, err := cache.ParseRevision(o.ResourceVersion, o.ResourceVersionMatch, 0)
	if err != nil {
		return nil, err
	}
	r, err := lw.cache().List(ctx, cache.ListRequest{Predicate: p, Match: m, Revision: rev})
	if err != nil {
		return nil, lw.status(err)
	}
	list := &List{Items: make([]runtime.Object, len(r.Entries))}
	list.ResourceVersion = strconv.FormatInt(r.Revision, 10)
	for i, e := range r.Entries {
		if list.Items[i], err = lw.object(e); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Watch implements client-go's Watcher.
func (lw *ListerWatcher) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return lw.WatchWithContext(context.Background(), o)
}

// WatchWithContext implements client-go's WatcherWithContext. The watch ends
// with ctx or by Stop; timeouts are ignored.
func (lw *ListerWatcher) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	p, err := lw.predicate(o)
	if err != nil {
		return nil, err
	}
	r, err := cache.ParseWatch(o)
	if err != nil {
		return nil, err
	}
	r.Predicate = p
	w, err := lw.cache().Watch(ctx, r)
	if err != nil {
		return nil, lw.status(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{lw: lw, w: w, cancel: cancel, c: make(chan watch.Event, 64)}
	s.work.Go(func() { s.pump(ctx) })
	return s, nil
}

func (lw *ListerWatcher) cache() *cache.Cache { return lw.hub.Cache(lw.match.Definition) }

func (lw *ListerWatcher) predicate(o metav1.ListOptions) (*cache.Predicate, error) {
	ls, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, fmt.Errorf("label selector: %w", err)
	}
	fs, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return nil, fmt.Errorf("field selector: %w", err)
	}
	return cache.NewPredicate(lw.match.Definition, lw.match.Served, lw.namespace, ls, fs), nil
}

// object returns the object of an entry in the served version.
func (lw *ListerWatcher) object(e *cache.Entry) (runtime.Object, error) {
	if lw.match.Served.Storage {
		return e.Object, nil
	}
	return lw.match.Served.To(e.Object)
}

// status is the API status of an error of the cache, by which reflectors
// decide what to do.
func (lw *ListerWatcher) status(err error) error {
	if s := cache.Status(lw.match.Definition, "", err); s != nil {
		return s
	}
	return err
}

// stream is a watch.Interface over a watch of the cache.
type stream struct {
	lw     *ListerWatcher
	w      *cache.Watch
	cancel context.CancelFunc
	c      chan watch.Event
	work   sync.WaitGroup
}

// ResultChan implements watch.Interface.
func (s *stream) ResultChan() <-chan watch.Event { return s.c }

// Stop implements watch.Interface.
func (s *stream) Stop() {
	s.cancel()
	s.work.Wait()
}

func (s *stream) pump(ctx context.Context) {
	defer close(s.c)
	defer s.w.Stop()
	for {
		events, err := s.w.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.fail(ctx, err)
			return
		}
		for _, ev := range events {
			out, err := s.event(ev)
			if err != nil {
				s.fail(ctx, err)
				return
			}
			select {
			case s.c <- out:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *stream) event(ev cache.WatchEvent) (watch.Event, error) {
	if ev.Type != watch.Bookmark {
		obj, err := s.lw.object(ev.Entry)
		return watch.Event{Type: ev.Type, Object: obj}, err
	}
	mark := s.lw.match.Served.New()
	mark.SetResourceVersion(strconv.FormatInt(ev.Revision, 10))
	if ev.InitialEventsEnd {
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return watch.Event{Type: watch.Bookmark, Object: mark}, nil
}

// fail tells the reader why the watch ends.
func (s *stream) fail(ctx context.Context, err error) {
	status := &metav1.Status{Status: metav1.StatusFailure, Message: err.Error(), Reason: metav1.StatusReasonInternalError, Code: 500}
	var api interface{ Status() metav1.Status }
	if errors.As(s.lw.status(err), &api) {
		st := api.Status()
		status = &st
	}
	select {
	case s.c <- watch.Event{Type: watch.Error, Object: status}:
	case <-ctx.Done():
	}
}
