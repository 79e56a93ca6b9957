package history

import (
	"context"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Watcher is a client that follows a resource as client-go does: it lists,
// watches from there, goes on where a watch has ended, and lists again only
// where it is told that its revision has expired.
type Watcher struct {
	// Resource is its name, for people.
	Resource string
	List     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	Watch    func(context.Context, metav1.ListOptions) (watch.Interface, error)
	// Pause before it tries again what failed or ended.
	Pause time.Duration
	Failf func(format string, args ...any)
	// Listed and Told, if set, are called in order with each list and each event
	// but bookmarks.
	Listed func(runtime.Object)
	Told   func(watch.Event)

	mu       sync.Mutex
	segments []*Segment
}

// Segment is what was told between two lists.
type Segment struct {
	After  int64 // revision of the list
	UpTo   int64 // everything until here was told
	Events []Change
}

// Change is one write to an object.
type Change struct {
	Rev             int64
	Namespace, Name string
	Deleted         bool
}

// Segments are what was told so far. They must not be read while Run runs.
func (w *Watcher) Segments() []*Segment { return w.segments }

// UpTo is the revision until which everything was told.
func (w *Watcher) UpTo() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.segments) == 0 {
		return 0
	}
	return w.segments[len(w.segments)-1].UpTo
}

// Run follows until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		list, err := w.List(ctx, metav1.ListOptions{})
		if err != nil {
			_ = wait(ctx, w.Pause)
			continue
		}
		m, err := meta.ListAccessor(list)
		if err != nil {
			w.Failf("a list of %s has no metadata: %v", w.Resource, err)
			return
		}
		if w.Listed != nil {
			w.Listed(list)
		}
		rev := w.revision(m.GetResourceVersion())
		s := &Segment{After: rev, UpTo: rev}
		w.mu.Lock()
		w.segments = append(w.segments, s)
		w.mu.Unlock()
		for ctx.Err() == nil && w.follow(ctx, s) {
			_ = wait(ctx, w.Pause)
		}
	}
}

// follow watches until the watch ends. It returns false where it is of no use
// to go on from here.
func (w *Watcher) follow(ctx context.Context, s *Segment) bool {
	stream, err := w.Watch(ctx, metav1.ListOptions{ResourceVersion: strconv.FormatInt(s.UpTo, 10), AllowWatchBookmarks: true})
	if err != nil {
		return !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err)
	}
	defer stream.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case e, ok := <-stream.ResultChan():
			if !ok {
				return true
			}
			if e.Type == watch.Error {
				err := apierrors.FromObject(e.Object)
				return !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err)
			}
			w.take(s, e)
		}
	}
}

// take notes an event: its revision is higher than any before.
func (w *Watcher) take(s *Segment, e watch.Event) {
	o, err := meta.Accessor(e.Object)
	if err != nil {
		w.Failf("a watch of %s tells of %T", w.Resource, e.Object)
		return
	}
	rev := w.revision(o.GetResourceVersion())
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Type == watch.Bookmark {
		if rev < s.UpTo {
			w.Failf("a watch of %s is at %d and has a bookmark of %d", w.Resource, s.UpTo, rev)
		}
		s.UpTo = max(s.UpTo, rev)
		return
	}
	if rev <= s.UpTo {
		w.Failf("a watch of %s is at %d and tells of %s at %d", w.Resource, s.UpTo, o.GetName(), rev)
	}
	s.UpTo = max(s.UpTo, rev)
	s.Events = append(s.Events, Change{Rev: rev, Namespace: o.GetNamespace(), Name: o.GetName(), Deleted: e.Type == watch.Deleted})
	if w.Told != nil {
		w.Told(e)
	}
}

func (w *Watcher) revision(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		w.Failf("a watch of %s tells of revision %q", w.Resource, s)
	}
	return n
}

// Tells checks that what was acknowledged to have been written was told, where it
// was to be.
func (w *Watcher) Tells(acknowledged []Change) {
	for _, s := range w.segments {
		told := map[Change]bool{}
		for _, c := range s.Events {
			told[c] = true
		}
		for _, c := range acknowledged {
			if c.Rev > s.After && c.Rev <= s.UpTo && !told[c] {
				w.Failf("a watch of %s from %d to %d was not told of %+v", w.Resource, s.After, s.UpTo, c)
			}
		}
	}
}

// Agree checks that two watchers of a resource were told the same of the time in
// which both watched.
func Agree(a, b *Watcher) {
	for _, s := range a.segments {
		for _, o := range b.segments {
			after, upTo := max(s.After, o.After), min(s.UpTo, o.UpTo)
			x, y := s.between(after, upTo), o.between(after, upTo)
			for i := range max(len(x), len(y)) {
				if i >= len(x) || i >= len(y) || x[i] != y[i] {
					a.Failf("two watches of %s from %d to %d differ: %+v and %+v", a.Resource, after, upTo, x[min(i, len(x)):min(i+1, len(x))], y[min(i, len(y)):min(i+1, len(y))])
					return
				}
			}
		}
	}
}

func (s *Segment) between(after, upTo int64) (out []Change) {
	for _, c := range s.Events {
		if c.Rev > after && c.Rev <= upTo {
			out = append(out, c)
		}
	}
	return out
}
