package informer_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientcache "k8s.io/client-go/tools/cache"

	"proa/cache"
	"proa/cache/codec"
	"proa/cache/informer"
	"proa/resource"
	"proa/store/memory"
)

func podDef() *resource.Definition {
	return resource.Row[*corev1.Pod]{
		Storage: corev1.SchemeGroupVersion, Kind: "Pod", Plural: "pods",
		New:          func() *corev1.Pod { return &corev1.Pod{} },
		NewList:      func() runtime.Object { return &corev1.PodList{} },
		ValidateName: func(string, bool) []string { return nil },
		Fields: func(p *corev1.Pod) map[string]string {
			return map[string]string{"spec.nodeName": p.Spec.NodeName}
		},
		Indexed: []string{"spec.nodeName"},
	}.Define()
}

func newHub(t *testing.T) *cache.Hub {
	t.Helper()
	s := memory.New(memory.Options{})
	h := cache.NewHub(s, codec.Storage{}, cache.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx) // the error of ctx
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = s.Close()
	})
	return h
}

func pod(name, node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.PodSpec{NodeName: node}}
}

func TestFactorySharesTheObjectsOfTheCache(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	def := podDef()
	pods := h.Cache(def)
	ctx, cancel := context.WithCancel(t.Context())
	if err := pods.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	first, err := pods.Create(ctx, pod("a", ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	f := informer.NewFactory(nil, h, resource.NewTable(def), 0)
	seen := make(chan *corev1.Pod, 10)
	gone := make(chan *corev1.Pod, 10)
	inf := f.Core().V1().Pods()
	if _, err := inf.Informer().AddEventHandler(clientcache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { seen <- o.(*corev1.Pod) },
		UpdateFunc: func(_, o any) { seen <- o.(*corev1.Pod) },
		DeleteFunc: func(o any) { gone <- o.(*corev1.Pod) },
	}); err != nil {
		t.Fatal(err)
	}
	f.StartWithContext(ctx)
	t.Cleanup(f.Shutdown)
	t.Cleanup(cancel)
	if res := f.WaitForCacheSyncWithContext(ctx); res.Err != nil {
		t.Fatal(res.Err)
	}
	if p := <-seen; p != first.Object {
		t.Error("the listed object was copied")
	}
	second, err := pods.Create(ctx, pod("b", ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	if p := <-seen; p != second.Object {
		t.Error("the watched object was copied")
	}
	got, err := inf.Lister().Pods("ns").Get("b")
	if err != nil || got != second.Object {
		t.Error(got, err)
	}
	again, err := f.ForResource(corev1.SchemeGroupVersion.WithResource("pods"))
	if err != nil || again.Informer() != inf.Informer() {
		t.Error("ForResource made another informer", err)
	}
	if all, err := again.Lister().List(labels.Everything()); err != nil || len(all) != 2 {
		t.Error(all, err)
	}
	removed, err := pods.Delete(ctx, second)
	if err != nil {
		t.Fatal(err)
	}
	if p := <-gone; p.Name != "b" || p.ResourceVersion != removed.Object.GetResourceVersion() {
		t.Error(p)
	}
	if bad := h.Mutated(); len(bad) > 0 {
		t.Error("objects were changed in place:", bad)
	}
	first.Object.SetLabels(map[string]string{"changed": "in place"})
	if bad := h.Mutated(); len(bad) != 1 || bad[0] != first.Key {
		t.Error("a change in place was not found:", bad)
	}
}

func TestListerWatcher(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	def := podDef()
	pods := h.Cache(def)
	ctx := t.Context()
	for _, p := range []*corev1.Pod{pod("a", "n1"), pod("b", "n2")} {
		if _, err := pods.Create(ctx, p, 0); err != nil {
			t.Fatal(err)
		}
	}
	lw := informer.NewListerWatcher(h, resource.Match{Definition: def, Served: &def.Served[0]}, "ns")
	l, err := lw.List(metav1.ListOptions{FieldSelector: "spec.nodeName=n1"})
	if err != nil {
		t.Fatal(err)
	}
	list := l.(*informer.List)
	if len(list.Items) != 1 || list.ResourceVersion != "3" {
		t.Fatal(list)
	}
	yes := true
	w, err := lw.WatchWithContext(ctx, metav1.ListOptions{
		SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ADDED a", "ADDED b", "BOOKMARK "} {
		ev := <-w.ResultChan()
		p := ev.Object.(*corev1.Pod)
		if got := string(ev.Type) + " " + p.Name; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if ev.Type == watch.Bookmark && (p.Annotations[metav1.InitialEventsAnnotationKey] != "true" || p.ResourceVersion != "3") {
			t.Error(p)
		}
	}
	h.Drop(def)
	ev := <-w.ResultChan()
	if status, ok := ev.Object.(*metav1.Status); ev.Type != watch.Error || !ok || status.Reason != metav1.StatusReasonExpired {
		t.Error(ev)
	}
	if _, open := <-w.ResultChan(); open {
		t.Error("the watch goes on after its error")
	}
	w.Stop()
	for _, o := range []metav1.ListOptions{{LabelSelector: "a in"}, {FieldSelector: "a"}, {ResourceVersion: "x"}} {
		if _, err := lw.List(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
