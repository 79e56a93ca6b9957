package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"proa/cache"
	"proa/cache/codec"
	"proa/resource"
	"proa/store"
	"proa/store/memory"
)

// TestStoredName: an object without a name has that of its key; one with another
// name is not what it is taken for.
func TestStoredName(t *testing.T) {
	t.Parallel()
	s := newMemory(t)
	def := podDef()
	pods := start(t, s, cache.Options{}).Cache(def)
	ctx := t.Context()
	for name, stored := range map[string]string{"nameless": "", "right": "right", "wrong": "other"} {
		o := pod("ns", stored, "")
		value := must[[]byte](t)(codec.Storage{}.Encode(def, o))
		must[store.KV](t)(s.Create(ctx, def.Key("ns", name), value, 0))
	}
	for name, readable := range map[string]bool{"nameless": true, "right": true, "wrong": false} {
		e, _, err := pods.Get(ctx, "ns", name, cache.Latest, 0)
		var corrupt *cache.CorruptError
		switch {
		case readable && (err != nil || e.Object.GetName() != name):
			t.Errorf("%s: %+v, %v", name, e, err)
		case !readable && !errors.As(err, &corrupt):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCorruptObject(t *testing.T) {
	t.Parallel()
	s := newMemory(t)
	def := podDef()
	pods := start(t, s, cache.Options{}).Cache(def)
	ctx := t.Context()
	good := create(t, pods, pod("ns", "a", ""))
	create(t, pods, pod("other", "b", ""))
	w := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{SkipInitial: true}))
	defer w.Stop()

	bad := must[store.KV](t)(s.Update(ctx, good.Key, []byte("k8s\x00garbage"), good.Revision, 0))
	var corrupt *cache.CorruptError
	e, _, err := pods.Get(ctx, "ns", "a", cache.Latest, 0)
	if !errors.As(err, &corrupt) || corrupt.Key != good.Key || e == nil || e.Revision != bad.ModRevision {
		t.Fatalf("%+v, %v", e, err)
	}
	if st := cache.Status(def, "a", err); st == nil || st.ErrStatus.Code != http.StatusInternalServerError || st.ErrStatus.Reason != metav1.StatusReasonStoreReadError {
		t.Error(st)
	}
	if _, err := pods.List(ctx, cache.ListRequest{}); !errors.As(err, &corrupt) {
		t.Errorf("a list with it: %v", err)
	}
	other := cache.NewPredicate(def, nil, "other", nil, nil)
	if r, err := pods.List(ctx, cache.ListRequest{Predicate: other}); err != nil || len(r.Entries) != 1 {
		t.Errorf("a list without it: %v", err)
	}
	begin := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{}))
	defer begin.Stop()
	if _, err := begin.Next(ctx); !errors.As(err, &corrupt) {
		t.Errorf("a watch that begins with it: %v", err)
	}
	// It can be replaced, and watches have seen nothing of all that.
	fixed := must[*cache.Entry](t)(pods.Update(ctx, e, pod("ns", "a", "n"), 0))
	if got := next(t, w, 1); got != "MODIFIED ns/a; " {
		t.Error(got)
	}
	// It can be deleted, and watches are told so with its last good state.
	must[store.KV](t)(s.Update(ctx, good.Key, []byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"else","namespace":"ns"}}`), fixed.Revision, 0))
	e, _, err = pods.Get(ctx, "ns", "a", cache.Latest, 0)
	if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "/registry/pods/ns/else") {
		t.Fatalf("an object under the key of another: %v", err)
	}
	must[*cache.Entry](t)(pods.Delete(ctx, e))
	if got := next(t, w, 1); got != "DELETED ns/a; " {
		t.Error(got)
	}
	// One that was never good.
	must[store.KV](t)(s.Create(ctx, "/registry/pods/ns/never", nil, 0))
	e, _, err = pods.Get(ctx, "ns", "never", cache.Latest, 0)
	if !errors.As(err, &corrupt) {
		t.Fatal(err)
	}
	must[*cache.Entry](t)(pods.Delete(ctx, e))
	create(t, pods, pod("ns", "after", ""))
	if got := next(t, w, 1); got != "ADDED ns/after; " {
		t.Error(got)
	}
}

func TestSlowWatchIsCutAndDelaysNobody(t *testing.T) {
	t.Parallel()
	pods := start(t, newMemory(t), cache.Options{WatchLag: 100}).Cache(podDef())
	ctx := t.Context()
	slow := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{}))
	defer slow.Stop()
	quick := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{}))
	defer quick.Stop()
	for i := range 300 {
		create(t, pods, pod("ns", fmt.Sprint("p", i), ""))
		next(t, quick, 1)
	}
	if evs, err := slow.Next(ctx); !errors.Is(err, cache.ErrSlow) || len(evs) > 0 {
		t.Fatalf("%d events, %v", len(evs), err)
	}
	// Not so slow that it could not resume.
	again := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{From: cache.Exact, Revision: 1}))
	defer again.Stop()
	next(t, again, 300)
}

func TestStalledWatchDoesNotHoldMuchMemory(t *testing.T) {
	t.Parallel()
	pods := start(t, newMemory(t), cache.Options{WatchLagBytes: 64 << 10}).Cache(podDef())
	ctx := t.Context()
	stalled := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{SkipInitial: true}))
	defer stalled.Stop()
	e := create(t, pods, fullPod(1))
	for range 50 {
		e = must[*cache.Entry](t)(pods.Update(ctx, e, fullPod(1), 0))
	}
	if err := pods.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	must[cache.ListResult](t)(pods.List(ctx, cache.ListRequest{}))
	if _, err := stalled.Next(ctx); !errors.Is(err, cache.ErrSlow) {
		t.Fatal(err)
	}
}

// TestWatchesResumeAfterRestart: a new process remembers enough of the store's
// history for the watches of its predecessor.
func TestWatchesResumeAfterRestart(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		s := newMemory(t)
		ctx := t.Context()
		before := start(t, s, cache.Options{}).Cache(podDef())
		for i := range 10 {
			create(t, before, pod("ns", fmt.Sprint("p", i), ""))
		}
		if compacted {
			// Where the store has forgotten, the present must do.
			if err := s.Compact(ctx, 8); err != nil {
				t.Fatal(err)
			}
		}
		h := cache.NewHub(s, codec.Storage{}, cache.Options{})
		def := podDef()
		h.Warm(def)
		run, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = h.Run(run) // the error of run
		}()
		w, err := h.Cache(def).Watch(ctx, cache.WatchRequest{From: cache.Exact, Revision: 6})
		var expired *cache.ExpiredError
		switch {
		case compacted && !errors.As(err, &expired), !compacted && err != nil:
			t.Error(compacted, err)
		case err == nil:
			if got := next(t, w, 5); got != "ADDED ns/p5; ADDED ns/p6; ADDED ns/p7; ADDED ns/p8; ADDED ns/p9; " {
				t.Error(got)
			}
			w.Stop()
		}
		if r := must[cache.ListResult](t)(h.Cache(def).List(ctx, cache.ListRequest{})); len(r.Entries) != 10 {
			t.Error(keys(r.Entries))
		}
		cancel()
		<-done
	}
}

// TestLoadThroughBlackout: what is lost while a cache is being loaded is not
// lost for it.
func TestLoadThroughBlackout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		h := start(t, s, cache.Options{})
		ctx := t.Context()
		nodes, pods := h.Cache(nodeDef()), h.Cache(podDef())
		create(t, pods, pod("ns", "first", ""))
		if err := nodes.Wait(ctx); err != nil { // the hub runs
			t.Fatal(err)
		}
		listed := make(chan struct{})
		slow := cache.NewHub(s, slowCodec{listed: listed}, cache.Options{})
		run, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = slow.Run(run) // the error of run
		}()
		defer func() { cancel(); <-done }()
		loading := slow.Cache(podDef())
		go func() { _ = loading.Wait(run) }() // begins the load
		<-listed                              // the list was read, and is being decoded
		s.SetFault(func(op memory.Op) memory.Fault {
			if op.Kind == memory.OpWatch {
				return memory.Fault{Err: store.ErrUnavailable}
			}
			return memory.Fault{}
		})
		s.CutWatches(store.ErrUnavailable)
		create(t, pods, pod("ns", "lost", ""))
		create(t, pods, pod("ns", "last", ""))
		if err := s.Compact(ctx, 4); err != nil {
			t.Fatal(err)
		}
		s.SetFault(nil)
		time.Sleep(time.Minute)
		r := must[cache.ListResult](t)(loading.List(ctx, cache.ListRequest{}))
		if got := keys(r.Entries); got != "ns/first@2 ns/last@4 ns/lost@3 " {
			t.Error(got)
		}
	})
}

// slowCodec takes ten seconds for the first object, after saying so.
type slowCodec struct {
	codec.Storage
	listed chan struct{}
}

func (c slowCodec) Decode(def *resource.Definition, b []byte) (resource.Object, error) {
	select {
	case <-c.listed:
	default:
		close(c.listed)
		time.Sleep(10 * time.Second)
	}
	return c.Storage.Decode(def, b)
}

func TestBookmarksComeByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		h := start(t, s, cache.Options{})
		pods, nodes := h.Cache(podDef()), h.Cache(nodeDef())
		ctx := t.Context()
		w := must[*cache.Watch](t)(pods.Watch(ctx, cache.WatchRequest{Bookmarks: true}))
		defer w.Stop()
		n := create(t, nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
		began := time.Now()
		for range 3 {
			evs, err := w.Next(ctx)
			if err != nil || len(evs) != 1 || evs[0].Type != watch.Bookmark || evs[0].Revision < n.Revision || evs[0].InitialEventsEnd {
				t.Fatalf("%+v, %v", evs, err)
			}
		}
		if d := time.Since(began); d < 2*time.Minute || d > 4*time.Minute {
			t.Errorf("three bookmarks in %v", d)
		}
	})
}

func TestFutureRevisions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		def := podDef()
		pods := start(t, s, cache.Options{}).Cache(def)
		ctx := t.Context()
		var future *cache.FutureError
		_, _, err := pods.Get(ctx, "ns", "a", cache.NotOlder, 5)
		if !errors.As(err, &future) || future.Requested != 5 || future.Unavailable {
			t.Fatal(err)
		}
		st := cache.Status(def, "a", err)
		if st == nil || !apierrors.IsTimeout(st) || !apierrors.HasStatusCause(st, metav1.CauseTypeResourceVersionTooLarge) || st.ErrStatus.Details.RetryAfterSeconds != 1 {
			t.Errorf("%+v", st)
		}
		// One that comes in time, though by a key nobody watches.
		go func() {
			for i := range 4 {
				_, _ = s.Create(ctx, fmt.Sprint("/elsewhere/", i), nil, 0) // its revision is what counts
			}
		}()
		if _, _, err := pods.Get(ctx, "ns", "a", cache.NotOlder, 5); !errors.Is(err, cache.ErrNotFound) {
			t.Fatal(err)
		}
		// A store that does not answer makes consistent reads fail, and no others.
		s.SetFault(func(op memory.Op) memory.Fault {
			return memory.Fault{Err: fmt.Errorf("%w: gone fishing", store.ErrUnavailable)}
		})
		_, _, err = pods.Get(ctx, "ns", "a", cache.Latest, 0)
		if !errors.As(err, &future) || !future.Unavailable || !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		if st := cache.Status(def, "a", err); st == nil || st.ErrStatus.Code != http.StatusTooManyRequests || st.ErrStatus.Details.RetryAfterSeconds != 1 {
			t.Errorf("%+v", st)
		}
		if _, _, err := pods.Get(ctx, "ns", "a", cache.Any, 0); !errors.Is(err, cache.ErrNotFound) {
			t.Fatal(err)
		}
	})
}

func TestLatestSharesQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		pods := start(t, s, cache.Options{}).Cache(podDef())
		if err := pods.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		asked := 0 // under the lock of the question: one is put at a time
		s.SetFault(func(op memory.Op) memory.Fault {
			if op.Kind == memory.OpRevision {
				asked++
			}
			return memory.Fault{Delay: time.Millisecond}
		})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := pods.List(t.Context(), cache.ListRequest{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if asked > 3 {
			t.Errorf("100 readers asked %d times", asked)
		}
	})
}

func TestReplacedAndDroppedDefinitions(t *testing.T) {
	t.Parallel()
	h := start(t, newMemory(t), cache.Options{})
	ctx := t.Context()
	one, two := podDef(), podDef()
	create(t, h.Cache(one), pod("ns", "a", ""))
	w := must[*cache.Watch](t)(h.Cache(one).Watch(ctx, cache.WatchRequest{SkipInitial: true}))
	defer w.Stop()
	ended := make(chan error, 1)
	go func() {
		_, err := w.Next(ctx)
		ended <- err
	}()
	if r, err := h.Cache(two).List(ctx, cache.ListRequest{}); err != nil || len(r.Entries) != 1 {
		t.Fatal(r, err)
	}
	if err := <-ended; !errors.Is(err, cache.ErrGone) {
		t.Errorf("watch of the old definition: %v", err)
	}
	if !apierrors.IsResourceExpired(cache.Status(one, "", cache.ErrGone)) {
		t.Error("such a watch should be begun anew")
	}
	old := h.Cache(two)
	h.Drop(two)
	h.Drop(two)
	if _, err := old.Watch(ctx, cache.WatchRequest{From: cache.Any}); !errors.Is(err, cache.ErrGone) {
		t.Error(err)
	}
}

// switched is a store that can be replaced by another, as a restored backup
// does under a running server.
type switched struct {
	store.Store
	mu  sync.Mutex
	now store.Store
}

func (s *switched) get() store.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *switched) Revision(ctx context.Context) (int64, error) { return s.get().Revision(ctx) }
func (s *switched) List(ctx context.Context, p string, o store.ListOptions) (store.ListResult, error) {
	return s.get().List(ctx, p, o)
}
func (s *switched) Watch(ctx context.Context, p string, after int64) (store.Watch, error) {
	return s.get().Watch(ctx, p, after)
}
func (s *switched) Compacted() int64 { return s.get().Compacted() }
func (s *switched) Create(ctx context.Context, k string, v []byte, ttl time.Duration) (store.KV, error) {
	return s.get().Create(ctx, k, v, ttl)
}

func TestStoreThatWentBackInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		first, second := memory.New(memory.Options{}), memory.New(memory.Options{})
		s := &switched{now: first}
		h := start(t, s, cache.Options{})
		def := podDef()
		for i := range 5 {
			create(t, h.Cache(def), pod("ns", fmt.Sprint("p", i), ""))
		}
		w := must[*cache.Watch](t)(h.Cache(def).Watch(ctx, cache.WatchRequest{SkipInitial: true}))
		defer w.Stop()
		s.mu.Lock()
		s.now = second
		s.mu.Unlock()
		create(t, h.Cache(def), pod("ns", "other", ""))
		first.CutWatches(store.ErrUnavailable)
		if _, err := w.Next(ctx); !errors.Is(err, cache.ErrGone) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r := must[cache.ListResult](t)(h.Cache(def).List(ctx, cache.ListRequest{}))
		if got := keys(r.Entries); got != "ns/other@2 " {
			t.Error(got)
		}
	})
}

// secret is a transformer that marks values, and knows an old mark.
type secret struct{}

func (secret) Active() bool { return true }

func (secret) ToStore(_ context.Context, key string, plain []byte) ([]byte, error) {
	return append([]byte("new:"+key+":"), plain...), nil
}

func (secret) FromStore(_ context.Context, key string, stored []byte) ([]byte, bool, error) {
	for _, mark := range []string{"new:", "old:"} {
		if plain, ok := strings.CutPrefix(string(stored), mark+key+":"); ok {
			return []byte(plain), mark == "old:", nil
		}
	}
	return nil, false, errors.New("no key decrypts it")
}

func TestTransformer(t *testing.T) {
	t.Parallel()
	s := newMemory(t)
	o := cache.Options{Transformer: func(*resource.Definition) cache.Transformer { return secret{} }}
	def := podDef()
	pods := start(t, s, o).Cache(def)
	ctx := t.Context()
	if err := pods.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	e := create(t, pods, pod("ns", "a", "n"))
	kv, _, err := s.Get(ctx, e.Key)
	if err != nil || !strings.HasPrefix(string(kv.Value), "new:"+e.Key) || strings.Contains(string(e.Stored()), "new:") {
		t.Fatalf("%q, %v", kv.Value, err)
	}
	if got, _, err := pods.Get(ctx, "ns", "a", cache.Latest, 0); err != nil || got != e {
		t.Error("the event was decoded again", err)
	}
	plain := must[[]byte](t)(pods.Encode(pod("ns", "b", "n")))
	must[store.KV](t)(s.Create(ctx, "/registry/pods/ns/b", append([]byte("old:/registry/pods/ns/b:"), plain...), 0))
	got, _, err := pods.Get(ctx, "ns", "b", cache.Latest, 0)
	if err != nil {
		t.Fatal(err)
	}
	for entry, want := range map[*cache.Entry]bool{e: false, got: true} {
		if stale, err := pods.Stale(ctx, entry); err != nil || stale != want {
			t.Errorf("%s is stale: %t, %v", entry.Key, stale, err)
		}
	}
	must[store.KV](t)(s.Create(ctx, "/registry/pods/ns/c", append([]byte("new:/registry/pods/ns/b:"), plain...), 0))
	if _, _, err := pods.Get(ctx, "ns", "c", cache.Latest, 0); err == nil {
		t.Error("a value was read under the key of another")
	}
}

// TestUncertainWrites: a write whose answer is lost shows up, or does not, and
// the cache follows the store in either case.
func TestUncertainWrites(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{true, false} {
		s := newMemory(t)
		pods := start(t, s, cache.Options{}).Cache(podDef())
		ctx := t.Context()
		if err := pods.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		s.SetFault(memory.FailNth(0, memory.Fault{Err: store.ErrUncertain, Applied: applied}, memory.Writes...))
		if _, err := pods.Create(ctx, pod("ns", "a", ""), 0); !errors.Is(err, store.ErrUncertain) {
			t.Fatal(err)
		}
		_, _, err := pods.Get(ctx, "ns", "a", cache.Latest, 0)
		if applied != (err == nil) {
			t.Errorf("applied: %v, get: %v", applied, err)
		}
		if _, err := pods.Fresh(ctx, "ns", "a"); applied != (err == nil) {
			t.Errorf("applied: %v, fresh: %v", applied, err)
		}
	}
}

func TestContinueTokens(t *testing.T) {
	t.Parallel()
	def := podDef()
	pods := start(t, newMemory(t), cache.Options{}).Cache(def)
	ctx := t.Context()
	var malformed *cache.ContinueError
	// eyJ2Ij… is base64 of {"v":"meta.k8s.io/v1","rv":1,"start":"…"}
	for _, token := range []string{
		"%", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjIiLCJydiI6MSwic3RhcnQiOiJhIn0", // another version
		"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi9hIn0", // ../a
		"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIvYSJ9",    // /a
		"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0",     // revision 0
	} {
		_, err := pods.List(ctx, cache.ListRequest{Limit: 1, Continue: token})
		if !errors.As(err, &malformed) || !apierrors.IsBadRequest(cache.Status(def, "", err)) {
			t.Errorf("%s: %v", token, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	older := metav1.ResourceVersionMatchNotOlderThan
	for _, c := range []struct {
		o    metav1.ListOptions
		want string
	}{
		{metav1.ListOptions{}, "latest"},
		{metav1.ListOptions{ResourceVersion: "0"}, "any"},
		{metav1.ListOptions{ResourceVersion: "7"}, "after 7"},
		{metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: older, AllowWatchBookmarks: true}, "latest mark"},
		{metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: older, ResourceVersion: "0", AllowWatchBookmarks: true}, "any mark"},
		{metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: older, ResourceVersion: "7", AllowWatchBookmarks: true}, "not older 7 mark"},
		{metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: older}, "latest"},
		{metav1.ListOptions{SendInitialEvents: &no}, "latest skip"},
		{metav1.ListOptions{SendInitialEvents: &no, ResourceVersion: "7"}, "after 7"},
	} {
		r, err := cache.ParseWatch(c.o)
		if err != nil {
			t.Fatal(err)
		}
		got := map[cache.Match]string{cache.Latest: "latest", cache.Any: "any", cache.NotOlder: "not older", cache.Exact: "after"}[r.From]
		if r.Revision > 0 {
			got += fmt.Sprint(" ", r.Revision)
		}
		if r.SkipInitial {
			got += " skip"
		}
		if r.InitialEventsEnd {
			got += " mark"
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.o, got, c.want)
		}
	}
	for _, c := range []struct {
		rv    string
		match metav1.ResourceVersionMatch
		limit int64
		want  cache.Match
	}{
		{"", "", 5, cache.Latest}, {"0", "", 5, cache.Any}, {"0", older, 0, cache.Any}, {"7", "", 0, cache.NotOlder},
		{"7", "", 5, cache.Exact}, {"7", older, 5, cache.NotOlder}, {"7", metav1.ResourceVersionMatchExact, 0, cache.Exact},
	} {
		if got, _, err := cache.ParseRevision(c.rv, c.match, c.limit); got != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	for _, rv := range []string{"x", "-1", "99999999999999999999"} {
		if _, _, err := cache.ParseRevision(rv, "", 0); !apierrors.IsBadRequest(err) {
			t.Errorf("%s: %v", rv, err)
		}
	}
}

func TestEncodingIsMadeOnce(t *testing.T) {
	t.Parallel()
	pods := start(t, newMemory(t), cache.Options{EncodingBytes: 10000}).Cache(podDef())
	first := create(t, pods, pod("ns", "a", ""))
	made := 0 // once at a time, by contract
	slow := func() ([]byte, error) { made++; return make([]byte, 1000), nil }
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if b, err := first.Encoding(cache.EncodingKey{Format: "json"}, slow); err != nil || len(b) != 1000 {
				t.Error(len(b), err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	if _, err := first.Encoding(cache.EncodingKey{Format: "x"}, func() ([]byte, error) { return nil, errors.New("no") }); err == nil {
		t.Error("the error was lost")
	}
	// Others push it out of the bounded memory.
	for i := range 30 {
		e := create(t, pods, pod("ns", fmt.Sprint("p", i), ""))
		must[[]byte](t)(e.Encoding(cache.EncodingKey{Format: "json"}, func() ([]byte, error) { return make([]byte, 1000), nil }))
	}
	must[[]byte](t)(first.Encoding(cache.EncodingKey{Format: "json"}, slow))
	if made != 2 {
		t.Errorf("made %d times", made)
	}
}

func TestForeignCodecsDecodeOnce(t *testing.T) {
	t.Parallel()
	c := &countingCodec{}
	s := newMemory(t)
	h := cache.NewHub(s, c, cache.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx) // the error of ctx
	}()
	defer func() { cancel(); <-done }()
	pods := h.Cache(podDef())
	if err := pods.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		e := create(t, pods, pod("ns", fmt.Sprint("p", i), ""))
		must[*cache.Entry](t)(pods.Update(ctx, e, pod("ns", fmt.Sprint("p", i), "n"), 0))
	}
	if err := h.WaitLatest(ctx); err != nil {
		t.Fatal(err)
	}
	if c.decoded != 0 {
		t.Errorf("%d objects were decoded that their writer had at hand", c.decoded)
	}
}

type countingCodec struct {
	codec.Storage
	decoded int // by the hub alone
}

func (c *countingCodec) Decode(def *resource.Definition, b []byte) (resource.Object, error) {
	c.decoded++
	return c.Storage.Decode(def, b)
}
