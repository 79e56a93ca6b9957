package cache_test

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"

	"proa/cache"
	"proa/store"
)

func TestWriteThenRead(t *testing.T) {
	t.Parallel()
	h := start(t, newMemory(t), cache.Options{})
	pods := h.Cache(podDef())
	ctx := t.Context()
	if _, _, err := pods.Get(ctx, "a", "x", cache.Latest, 0); !errors.Is(err, cache.ErrNotFound) {
		t.Fatal(err)
	}
	obj := pod("a", "x", "n1")
	wrote := create(t, pods, obj)
	got, rev, err := pods.Get(ctx, "a", "x", cache.Latest, 0)
	if err != nil || rev < wrote.Revision {
		t.Fatal(rev, err)
	}
	if got != wrote {
		t.Error("the event was decoded again, though its writer had the object")
	}
	if obj.ResourceVersion != "" {
		t.Error("the writer's object was changed")
	}
	if again, err := pods.Create(ctx, obj, 0); !errors.Is(err, store.ErrExists) || again != wrote {
		t.Errorf("second create: %v, %v", again, err)
	}
	changed := got.Object.DeepCopyObject().(*corev1.Pod)
	changed.Labels = map[string]string{"k": "v"}
	newer, err := pods.Update(ctx, got, changed, 0)
	if err != nil {
		t.Fatal(err)
	}
	if present, err := pods.Update(ctx, got, changed, 0); !errors.Is(err, store.ErrConflict) || present.Revision != newer.Revision {
		t.Errorf("stale update: %v, %v", present, err)
	}
	gone, err := pods.Delete(ctx, newer)
	if err != nil || gone.Revision <= newer.Revision || gone.Object.GetLabels()["k"] != "v" {
		t.Fatal(gone, err)
	}
	if _, err := pods.Delete(ctx, newer); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
}

// TestPagesExpireByCompaction: a token expires with the history of the store,
// also where nothing that is listed has changed, and the rest of the list can
// then be had as it is.
func TestPagesExpireByCompaction(t *testing.T) {
	t.Parallel()
	st := newMemory(t)
	pods := start(t, st, cache.Options{}).Cache(podDef())
	ctx := t.Context()
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		create(t, pods, pod("ns", n, ""))
	}
	first := must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2}))
	must[store.KV](t)(st.Create(ctx, "/elsewhere", []byte("x"), 0))
	must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2, Continue: first.Continue}))
	now := must[int64](t)(st.Revision(ctx))
	if err := st.Compact(ctx, now); err != nil {
		t.Fatal(err)
	}
	_, err := pods.List(ctx, cache.ListRequest{Limit: 2, Continue: first.Continue})
	var expired *cache.ExpiredError
	if !errors.As(err, &expired) || !expired.Paging {
		t.Fatal(err)
	}
	r := must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2, Continue: expired.Continue}))
	if keys(r.Entries) != "ns/c@4 ns/d@5 " || *r.Remaining != 1 || r.Revision == first.Revision {
		t.Fatal(keys(r.Entries), *r.Remaining, r.Revision)
	}
	r = must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2, Continue: r.Continue}))
	if keys(r.Entries) != "ns/e@6 " || r.Continue != "" {
		t.Fatal(keys(r.Entries))
	}
}

func TestPagesShowOneRevision(t *testing.T) {
	t.Parallel()
	h := start(t, newMemory(t), cache.Options{})
	pods := h.Cache(podDef())
	ctx := t.Context()
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		create(t, pods, pod("ns", n, ""))
	}
	r := must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2}))
	if keys(r.Entries) != "ns/a@2 ns/b@3 " || *r.Remaining != 3 {
		t.Fatal(keys(r.Entries), *r.Remaining)
	}
	first := r.Revision
	e, _, _ := pods.Get(ctx, "ns", "d", cache.Latest, 0)
	must[*cache.Entry](t)(pods.Delete(ctx, e))
	create(t, pods, pod("ns", "bb", ""))
	r = must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2, Continue: r.Continue}))
	if keys(r.Entries) != "ns/c@4 ns/d@5 " || r.Revision != first {
		t.Fatal(keys(r.Entries), r.Revision)
	}
	r = must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Limit: 2, Continue: r.Continue}))
	if keys(r.Entries) != "ns/e@6 " || r.Continue != "" || r.Remaining != nil {
		t.Fatal(keys(r.Entries))
	}
	r = must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{}))
	if keys(r.Entries) != "ns/a@2 ns/b@3 ns/bb@8 ns/c@4 ns/e@6 " {
		t.Fatal(keys(r.Entries))
	}
	r = must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{Match: cache.Exact, Revision: 4}))
	if keys(r.Entries) != "ns/a@2 ns/b@3 ns/c@4 " {
		t.Fatal(keys(r.Entries))
	}
}

func TestWatchSeesTransitionsOfItsSelection(t *testing.T) {
	t.Parallel()
	h := start(t, newMemory(t), cache.Options{})
	def := podDef()
	pods := h.Cache(def)
	ctx := t.Context()
	create(t, pods, pod("ns", "there", "n1"))
	onNode := cache.NewPredicate(def, nil, "", nil, fields.OneTermEqualSelector("spec.nodeName", "n1"))
	w := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{Predicate: onNode, InitialEventsEnd: true}))
	defer w.Stop()
	if got := next(t, w, 2); got != "ADDED ns/there; BOOKMARK end; " {
		t.Fatal(got)
	}
	e := create(t, pods, pod("ns", "p", ""))
	e = must[*cache.Entry](t)(pods.Update(ctx, e, pod("ns", "p", "n1"), 0))
	e = must[*cache.Entry](t)(pods.Update(ctx, e, pod("ns", "p", "n1"), 0))
	e = must[*cache.Entry](t)(pods.Update(ctx, e, pod("ns", "p", "n2"), 0))
	e = must[*cache.Entry](t)(pods.Update(ctx, e, pod("ns", "p", "n1"), 0))
	must[*cache.Entry](t)(pods.Delete(ctx, e))
	want := "ADDED ns/p; MODIFIED ns/p; DELETED ns/p; ADDED ns/p; DELETED ns/p; "
	if got := next(t, w, 5); got != want {
		t.Fatal(got)
	}
	again := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{Predicate: onNode, From: cache.Exact, Revision: 2}))
	defer again.Stop()
	if got := next(t, again, 5); got != want {
		t.Fatal(got)
	}
}
