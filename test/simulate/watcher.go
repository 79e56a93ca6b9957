package simulate

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is a client that follows a resource as client-go does: it lists,
// watches from there, goes on where a watch has ended, and lists again only
// where it is told that its revision has expired.
type watcher struct {
	world    *world
	resource schema.GroupVersionResource
	list     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch    func(context.Context, metav1.ListOptions) (watch.Interface, error)

	mu       sync.Mutex
	segments []*segment
}

// segment is what was told between two lists.
type segment struct {
	after  int64 // revision of the list
	upTo   int64 // everything until here was told
	events []change
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		list, err := w.list(ctx, metav1.ListOptions{})
		if err != nil {
			_ = sleep(ctx, time.Second)
			continue
		}
		m, err := meta.ListAccessor(list)
		if err != nil {
			w.world.failf("a list of %s has no metadata: %v", w.resource.Resource, err)
			return
		}
		rev := w.revision(m.GetResourceVersion())
		s := &segment{after: rev, upTo: rev}
		w.mu.Lock()
		w.segments = append(w.segments, s)
		w.mu.Unlock()
		for ctx.Err() == nil && w.follow(ctx, s) {
			_ = sleep(ctx, time.Second)
		}
	}
}

// follow watches until the watch ends. It returns false where it is of no use
// to go on from here.
func (w *watcher) follow(ctx context.Context, s *segment) bool {
	stream, err := w.watch(ctx, metav1.ListOptions{ResourceVersion: strconv.FormatInt(s.upTo, 10), AllowWatchBookmarks: true})
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
func (w *watcher) take(s *segment, e watch.Event) {
	o, err := meta.Accessor(e.Object)
	if err != nil {
		w.world.failf("a watch of %s tells of %T", w.resource.Resource, e.Object)
		return
	}
	rev := w.revision(o.GetResourceVersion())
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Type == watch.Bookmark {
		if rev < s.upTo {
			w.world.failf("a watch of %s is at %d and has a bookmark of %d", w.resource.Resource, s.upTo, rev)
		}
		s.upTo = max(s.upTo, rev)
		return
	}
	if rev <= s.upTo {
		w.world.failf("a watch of %s is at %d and tells of %s at %d", w.resource.Resource, s.upTo, o.GetName(), rev)
	}
	s.upTo = max(s.upTo, rev)
	s.events = append(s.events, change{rev, definition(w.resource).Key(o.GetNamespace(), o.GetName()), e.Type == watch.Deleted})
}

func (w *watcher) revision(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		w.world.failf("a watch of %s tells of revision %q", w.resource.Resource, s)
	}
	return n
}

// check holds what was told against what was written. Where the control plane
// itself had to list anew, it tells of the difference only.
func (w *watcher) check() {
	a := w.world.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	written := a.changes[definition(w.resource).Root()]
	for _, s := range w.segments {
		told := s.events
		for _, c := range written {
			if c.rev <= s.after || c.rev > s.upTo || a.inGap(c.rev) {
				continue
			}
			for len(told) > 0 && told[0].rev < c.rev && a.inGap(told[0].rev) {
				told = told[1:]
			}
			if len(told) == 0 || told[0] != c {
				w.world.failf("a watch of %s from %d to %d was not told of %s at %d, but of %v", w.resource.Resource, s.after, s.upTo, c.key, c.rev, told[:min(1, len(told))])
				return
			}
			told = told[1:]
		}
		told = slices.DeleteFunc(slices.Clone(told), func(c change) bool { return a.inGap(c.rev) })
		if len(told) > 0 {
			w.world.failf("a watch of %s was told of %v, which was not written", w.resource.Resource, told[0])
		}
	}
}

// inGap reports whether the control plane may not have seen a revision.
func (a *audit) inGap(rev int64) bool {
	return slices.ContainsFunc(a.gaps, func(g gap) bool { return rev > g.after && rev <= g.upTo })
}
