package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/cache"
	"proa/cache/codec"
	"proa/resource"
	"proa/store"
	"proa/store/memory"
)

// names accepts every name.
func names(string, bool) []string { return nil }

func podRow() resource.Row[*corev1.Pod] {
	return resource.Row[*corev1.Pod]{
		Storage: corev1.SchemeGroupVersion, Kind: "Pod", Plural: "pods",
		New:          func() *corev1.Pod { return &corev1.Pod{} },
		NewList:      func() runtime.Object { return &corev1.PodList{} },
		ValidateName: names,
		Fields: func(p *corev1.Pod) map[string]string {
			return map[string]string{"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase)}
		},
		Indexed: []string{"spec.nodeName"},
	}
}

func podDef() *resource.Definition { return podRow().Define() }

func nodeDef() *resource.Definition {
	return resource.Row[*corev1.Node]{
		Storage: corev1.SchemeGroupVersion, Kind: "Node", Plural: "nodes", Prefix: "minions", ClusterScoped: true,
		New:          func() *corev1.Node { return &corev1.Node{} },
		NewList:      func() runtime.Object { return &corev1.NodeList{} },
		ValidateName: names,
	}.Define()
}

func pod(ns, name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       corev1.PodSpec{NodeName: node},
	}
}

// start runs a hub over a store until the test ends.
func start(t testing.TB, s store.Store, o cache.Options) *cache.Hub {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := cache.NewHub(s, codec.Storage{}, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx) // the error of ctx
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

func newMemory(t testing.TB) *memory.Store {
	s := memory.New(memory.Options{})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func create(t testing.TB, c *cache.Cache, obj resource.Object) *cache.Entry {
	t.Helper()
	e, err := c.Create(t.Context(), obj, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func keys(entries []*cache.Entry) string {
	s := ""
	for _, e := range entries {
		s += fmt.Sprintf("%s/%s@%d ", e.Namespace, e.Name, e.Revision)
	}
	return s
}

// next reads events until n have come.
func next(t testing.TB, w *cache.Watch, n int) string {
	t.Helper()
	s := ""
	for got := 0; got < n; {
		evs, err := w.Next(t.Context())
		if err != nil {
			t.Fatalf("after %q: %v", s, err)
		}
		for _, ev := range evs {
			got++
			s += string(ev.Type)
			if ev.Entry != nil {
				s += fmt.Sprintf(" %s/%s", ev.Entry.Namespace, ev.Entry.Name)
				if rv := ev.Entry.Object.GetResourceVersion(); rv != fmt.Sprint(ev.Revision) {
					t.Errorf("%s: object says %s, event %d", s, rv, ev.Revision)
				}
			}
			if ev.InitialEventsEnd {
				s += " end"
			}
			s += "; "
		}
	}
	return s
}
