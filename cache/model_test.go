package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"proa/cache"
	"proa/cache/codec"
	"proa/resource"
	"proa/store"
	"proa/store/memory"
)

// step is one step of a random history. What a to d mean depends on the kind.
type step struct {
	kind       string
	a, b, c, d int
}

var steps = []string{
	"create", "create", "create", "update", "update", "update", "delete", "delete",
	"foreign", "other", "list", "page", "next page", "watch", "watch", "read", "cut",
}

// TestModel runs random histories of writes, lists, pages and watches, with
// cut streams, against a model that remembers every state.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) { check(t, r, steps, cache.Options{}) })
}

// TestModelWithBlackouts adds times in which the store forgets what the cache
// has not seen, so that it must list anew.
func TestModelWithBlackouts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		check(t, r, append(slices.Clone(steps), "blackout"), cache.Options{})
	})
}

// TestModelWithSmallLog makes the event log forget soon.
func TestModelWithSmallLog(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		check(t, r, append(slices.Clone(steps), "blackout"), cache.Options{LogEvents: 5})
	})
}

func check(t *testing.T, r *rapid.T, kinds []string, o cache.Options) {
	n := rapid.IntRange(1, 60).Draw(r, "steps")
	plan := make([]step, n)
	number := rapid.IntRange(0, 1000)
	for i := range plan {
		plan[i] = step{
			rapid.SampledFrom(kinds).Draw(r, "kind"),
			number.Draw(r, "a"), number.Draw(r, "b"), number.Draw(r, "c"), number.Draw(r, "d"),
		}
	}
	var err error
	synctest.Test(t, func(t *testing.T) {
		m := newHistory(t, o)
		defer m.close()
		for i, s := range plan {
			if err = m.step(s); err != nil {
				err = fmt.Errorf("step %d, %s: %w", i, s.kind, err)
				return
			}
		}
		err = m.finish()
	})
	if err != nil {
		r.Fatal(err)
	}
}

// object is what the model knows of an object.
type object struct {
	rev         int64
	node, label string
}

type state map[string]object

type history struct {
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{}
	store  *memory.Store
	hub    *cache.Hub
	def    *resource.Definition
	pods   *cache.Cache
	nodes  *cache.Cache
	rev    int64
	states map[int64]state // by revision; a revision of other keys repeats the last
	exact  int64           // before this, the cache may say that it is expired
	black  int64           // where the last blackout ended
	lists  []*pages
	watch  []*watcher
}

type pages struct {
	sel   selection
	rev   int64
	token string
	got   []string
	fail  bool
}

func newHistory(t *testing.T, o cache.Options) *history {
	m := &history{store: memory.New(memory.Options{}), done: make(chan struct{}), rev: 1, states: map[int64]state{1: {}}}
	m.ctx, m.stop = context.WithCancel(t.Context())
	m.hub = cache.NewHub(m.store, codec.Storage{}, o)
	go func() {
		defer close(m.done)
		_ = m.hub.Run(m.ctx) // the error of ctx
	}()
	m.def = podDef()
	m.pods = m.hub.Cache(m.def)
	m.nodes = m.hub.Cache(nodeDef())
	if o.LogEvents > 0 {
		m.exact = 1 << 62
	}
	if err := m.pods.Wait(m.ctx); err != nil { // what was before is not in the log
		t.Fatal(err)
	}
	return m
}

func (m *history) close() {
	m.stop()
	<-m.done
	for _, w := range m.watch {
		w.w.Stop()
	}
	_ = m.store.Close()
}

func (m *history) pod(s step) (key string, p *corev1.Pod) {
	ns := []string{"a", "ab", "b"}[s.a%3]
	name := []string{"w", "x", "y", "z"}[s.b%4]
	p = pod(ns, name, []string{"", "n1", "n2"}[s.c%3])
	p.Labels = map[string]string{"l": []string{"u", "v"}[s.d%2]}
	p.Annotations = map[string]string{"step": fmt.Sprint(len(m.states))}
	return ns + "/" + name, p
}

// wrote notes a write of the next revision.
func (m *history) wrote(rev int64, key string, p *corev1.Pod) error {
	if rev != m.rev+1 {
		return fmt.Errorf("write has revision %d after %d", rev, m.rev)
	}
	next := maps.Clone(m.states[m.rev])
	m.rev = rev
	switch {
	case key == "":
	case p == nil:
		delete(next, key)
	default:
		next[key] = object{rev, p.Spec.NodeName, p.Labels["l"]}
	}
	m.states[rev] = next
	return nil
}

func (m *history) step(s step) error {
	switch s.kind {
	case "create", "update", "delete":
		return m.write(s)
	case "foreign": // another server writes to the same store
		key, p := m.pod(s)
		data, err := codec.Storage{}.Encode(m.def, p)
		if err != nil {
			return err
		}
		kv, err := m.store.Create(m.ctx, "/registry/pods/"+key, data, 0)
		if errors.Is(err, store.ErrExists) {
			kv, err = m.store.Update(m.ctx, kv.Key, data, kv.ModRevision, 0)
		}
		if err != nil {
			return err
		}
		return m.wrote(kv.ModRevision, key, p)
	case "other": // keys of other resources, known and unknown, and not under /registry/
		key := []string{"/registry/minions/", "/registry/unknown.io/things/", "/elsewhere/", "/registry/x"}[s.a%4]
		kv, err := m.store.Create(m.ctx, key+fmt.Sprint(m.rev), []byte("{}"), 0)
		if err != nil {
			return err
		}
		return m.wrote(kv.ModRevision, "", nil)
	case "list":
		return m.list(s)
	case "page":
		m.lists = append(m.lists, &pages{sel: newSelection(s)})
		return m.page(m.lists[len(m.lists)-1])
	case "next page":
		if len(m.lists) > 0 {
			return m.page(m.lists[s.a%len(m.lists)])
		}
	case "watch":
		return m.begin(s)
	case "read":
		if len(m.watch) > 0 {
			return m.watch[s.a%len(m.watch)].read(m, false)
		}
	case "cut":
		m.store.CutWatches(store.ErrUnavailable)
	case "blackout":
		return m.blackout(s)
	}
	return nil
}

func (m *history) write(s step) error {
	key, p := m.pod(s)
	old, _, err := m.pods.Get(m.ctx, p.Namespace, p.Name, cache.Latest, 0)
	was, exists := m.states[m.rev][key]
	if exists != (err == nil) || exists && old.Revision != was.rev {
		return fmt.Errorf("get %s: %+v, %w; the model has %+v", key, old, err, was)
	}
	switch {
	case s.kind == "create" && exists:
		present, err := m.pods.Create(m.ctx, p, 0)
		if !errors.Is(err, store.ErrExists) || present.Revision != was.rev {
			return fmt.Errorf("create of an existing object: %+v, %w", present, err)
		}
		return nil
	case s.kind == "create":
		e, err := m.pods.Create(m.ctx, p, 0)
		if err != nil {
			return err
		}
		return m.wrote(e.Revision, key, p)
	case !exists:
		return nil
	case s.kind == "update":
		e, err := m.pods.Update(m.ctx, old, p, 0)
		if err != nil {
			return err
		}
		if e.CreateRevision != old.CreateRevision {
			return fmt.Errorf("update of %s changed its create revision from %d to %d", key, old.CreateRevision, e.CreateRevision)
		}
		return m.wrote(e.Revision, key, p)
	}
	e, err := m.pods.Delete(m.ctx, old)
	if err != nil {
		return err
	}
	return m.wrote(e.Revision, key, nil)
}

// selection is what a list or watch selects, in the model and in the cache.
type selection struct{ ns, name, node, label string }

func newSelection(s step) selection {
	return selection{
		ns:    []string{"", "", "a", "ab"}[s.a%4],
		name:  []string{"", "", "", "x"}[s.b%4],
		node:  []string{"", "", "n1", "n2"}[s.c%4],
		label: []string{"", "", "u"}[s.d%3],
	}
}

func (s selection) predicate(def *resource.Definition) *cache.Predicate {
	set := fields.Set{}
	if s.name != "" {
		set["metadata.name"] = s.name
	}
	if s.node != "" {
		set["spec.nodeName"] = s.node
	}
	var ls labels.Selector
	if s.label != "" {
		ls = labels.SelectorFromSet(labels.Set{"l": s.label})
	}
	return cache.NewPredicate(def, nil, s.ns, ls, set.AsSelector())
}

func (s selection) matches(key string, o object) bool {
	ns, name, _ := strings.Cut(key, "/")
	return (s.ns == "" || s.ns == ns) && (s.name == "" || s.name == name) &&
		(s.node == "" || s.node == o.node) && (s.label == "" || s.label == o.label)
}

func (s selection) of(st state) []string {
	var out []string
	for _, key := range slices.SortedFunc(maps.Keys(st), func(a, b string) int {
		return strings.Compare("/registry/pods/"+a, "/registry/pods/"+b)
	}) {
		if s.matches(key, st[key]) {
			out = append(out, fmt.Sprintf("%s@%d", key, st[key].rev))
		}
	}
	return out
}

func entries(list []*cache.Entry) []string {
	var out []string
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s/%s@%s", e.Namespace, e.Name, e.Object.GetResourceVersion()))
	}
	return out
}

// list reads at a random revision and kind of match.
func (m *history) list(s step) error {
	sel := newSelection(s)
	r := cache.ListRequest{Predicate: sel.predicate(m.def), Match: cache.Match(s.a % 4)}
	if r.Match == cache.NotOlder || r.Match == cache.Exact {
		r.Revision = 1 + int64(s.b)%m.rev
	}
	res, err := m.pods.List(m.ctx, r)
	if expired := new(cache.ExpiredError); errors.As(err, &expired) && r.Match == cache.Exact && r.Revision < m.exact {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case r.Match == cache.Latest && res.Revision < m.rev,
		r.Match == cache.NotOlder && res.Revision < r.Revision,
		r.Match == cache.Exact && res.Revision != r.Revision:
		return fmt.Errorf("list %+v at %d shows revision %d", r, m.rev, res.Revision)
	}
	return same(fmt.Sprintf("list %+v of %+v", r, sel), entries(res.Entries), sel.of(m.states[res.Revision]))
}

// page reads the next page of a list.
func (m *history) page(p *pages) error {
	if p.rev != 0 && p.token == "" || p.fail {
		return nil
	}
	res, err := m.pods.List(m.ctx, cache.ListRequest{Predicate: p.sel.predicate(m.def), Limit: 2, Continue: p.token})
	if expired := new(cache.ExpiredError); errors.As(err, &expired) && p.rev != 0 && p.rev < m.exact {
		p.fail = true
		if !expired.Paging || expired.Continue == "" {
			return fmt.Errorf("expired page without a token: %+v", expired)
		}
		_, err = m.pods.List(m.ctx, cache.ListRequest{Predicate: p.sel.predicate(m.def), Continue: expired.Continue})
		return err
	}
	if err != nil {
		return err
	}
	if p.rev == 0 {
		p.rev = res.Revision
	}
	if res.Revision != p.rev || len(res.Entries) > 2 || res.Continue != "" && len(res.Entries) != 2 {
		return fmt.Errorf("page of %d entries at %d, first at %d", len(res.Entries), res.Revision, p.rev)
	}
	p.token = res.Continue
	p.got = append(p.got, entries(res.Entries)...)
	want := p.sel.of(m.states[p.rev])
	if p.token == "" {
		return same("all pages", p.got, want)
	}
	if res.Remaining != nil && len(p.got)+int(*res.Remaining) != len(want) {
		return fmt.Errorf("%d remain after %d of %d", *res.Remaining, len(p.got), len(want))
	}
	return same("pages", p.got, want[:len(p.got)])
}

func same(what string, got, want []string) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}

// watcher collects what a watch delivers.
type watcher struct {
	w      *cache.Watch
	sel    selection
	from   int64 // events after this one; 0 until the initial events have ended
	got    []string
	last   int64
	loose  bool             // a blackout came in between: only the result counts
	result map[string]int64 // revision of what is there
	ended  bool
}

func (m *history) begin(s step) error {
	w := &watcher{sel: newSelection(s), result: map[string]int64{}}
	r := cache.WatchRequest{Predicate: w.sel.predicate(m.def), InitialEventsEnd: true}
	if s.b%2 == 0 {
		r.From, r.Revision = cache.Exact, 1+int64(s.c)%m.rev
		w.from = r.Revision
		for _, entry := range w.sel.of(m.states[w.from]) {
			key, _, _ := strings.Cut(entry, "@")
			w.result[key] = m.states[w.from][key].rev
		}
	}
	var err error
	w.w, err = m.pods.Watch(m.ctx, r)
	if expired := new(cache.ExpiredError); errors.As(err, &expired) && r.Revision < m.exact {
		return nil
	}
	if err != nil {
		return err
	}
	w.loose = r.From == cache.Exact && r.Revision < m.black
	m.watch = append(m.watch, w)
	return nil
}

// read reads until a bookmark, which must be at or past the last write where
// all is asked for, and checks everything up to it.
func (w *watcher) read(m *history, all bool) error {
	if w.ended {
		return nil
	}
	if all {
		if err := m.hub.WaitLatest(m.ctx); err != nil {
			return err
		}
	}
	w.w.Bookmark()
	for {
		evs, err := w.w.Next(m.ctx)
		if err != nil {
			return fmt.Errorf("next: %w", err)
		}
		for _, ev := range evs {
			switch {
			case ev.Type != watch.Bookmark:
				if err := w.take(ev); err != nil {
					return err
				}
			case ev.InitialEventsEnd:
				w.from, w.last = ev.Revision, ev.Revision
				if err := same("initial events", w.got, w.sel.of(m.states[ev.Revision])); err != nil {
					return err
				}
				w.got = nil
			default:
				if all && ev.Revision < m.rev {
					return fmt.Errorf("bookmark at %d, the store is at %d", ev.Revision, m.rev)
				}
				return w.compare(m, ev.Revision)
			}
		}
	}
}

func (w *watcher) take(ev cache.WatchEvent) error {
	key := ev.Entry.Namespace + "/" + ev.Entry.Name
	if w.from == 0 {
		w.got = append(w.got, fmt.Sprintf("%s@%d", key, ev.Revision))
		w.result[key] = ev.Revision
		return nil
	}
	w.got = append(w.got, fmt.Sprintf("%s %s@%d", ev.Type, key, ev.Revision))
	_, there := w.result[key]
	if there != (ev.Type != watch.Added) || ev.Revision <= w.last {
		return fmt.Errorf("%v after revision %d, the object is there: %v", w.got, w.last, there)
	}
	w.last = ev.Revision
	if ev.Type == watch.Deleted {
		delete(w.result, key)
	} else {
		w.result[key] = ev.Revision
	}
	return nil
}

// compare checks what has come up to a revision.
func (w *watcher) compare(m *history, rev int64) error {
	var result []string
	for _, key := range slices.Sorted(maps.Keys(w.result)) {
		result = append(result, fmt.Sprintf("%s@%d", key, w.result[key]))
	}
	if w.from > rev {
		return nil
	}
	want := w.sel.of(m.states[rev])
	slices.Sort(want)
	slices.Sort(result)
	if err := same(fmt.Sprintf("what the events up to %d lead to", rev), result, want); err != nil || w.loose {
		return err
	}
	var events []string
	for at := w.from + 1; at <= rev; at++ {
		before, after := m.states[at-1], m.states[at]
		for _, key := range slices.Sorted(maps.Keys(union(before, after))) {
			o, was := before[key]
			n, is := after[key]
			if was == is && o == n {
				continue
			}
			was, is = was && w.sel.matches(key, o), is && w.sel.matches(key, n)
			switch {
			case was && is:
				events = append(events, fmt.Sprintf("MODIFIED %s@%d", key, at))
			case is:
				events = append(events, fmt.Sprintf("ADDED %s@%d", key, at))
			case was:
				events = append(events, fmt.Sprintf("DELETED %s@%d", key, at))
			}
		}
	}
	return same(fmt.Sprintf("events of %+v after %d", w.sel, w.from), w.got, events)
}

func union(a, b state) state {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// blackout keeps the cache from watching while the store is written to and
// compacted.
func (m *history) blackout(s step) error {
	if err := m.pods.Wait(m.ctx); err != nil {
		return err
	}
	if err := m.hub.WaitLatest(m.ctx); err != nil {
		return err
	}
	seen := m.rev
	m.store.SetFault(func(op memory.Op) memory.Fault {
		if op.Kind == memory.OpWatch {
			return memory.Fault{Err: store.ErrUnavailable}
		}
		return memory.Fault{}
	})
	m.store.CutWatches(store.ErrUnavailable)
	for i := range s.a % 6 {
		if err := m.step(step{"foreign", s.a + i, s.b + i*i, s.c + i, s.d}); err != nil {
			return err
		}
		if i%2 == 0 {
			continue
		}
		key, _ := m.pod(step{"", s.c + i, s.d + i, 0, 0})
		if kv, _, err := m.store.Get(m.ctx, "/registry/pods/"+key); err == nil {
			gone, err := m.store.Delete(m.ctx, kv.Key, kv.ModRevision)
			if err != nil {
				return err
			}
			if err := m.wrote(gone.ModRevision, key, nil); err != nil {
				return err
			}
		}
	}
	if m.rev > seen+1 {
		if err := m.store.Compact(m.ctx, m.rev); err != nil && !errors.Is(err, store.ErrCompacted) {
			return err
		}
		for _, w := range m.watch {
			w.loose = true
		}
		m.exact = max(m.exact, m.rev)
		m.black = m.rev
	}
	m.store.SetFault(nil)
	time.Sleep(time.Minute) // of the bubble: until the hub has tried again
	return m.hub.WaitLatest(m.ctx)
}

// finish reads everything to its end.
func (m *history) finish() error {
	for _, w := range m.watch {
		if err := w.read(m, true); err != nil {
			return err
		}
	}
	for _, p := range m.lists {
		for p.token != "" && !p.fail {
			if err := m.page(p); err != nil {
				return err
			}
		}
	}
	if bad := m.hub.Mutated(); len(bad) > 0 {
		return fmt.Errorf("changed in place: %v", bad)
	}
	return nil
}
