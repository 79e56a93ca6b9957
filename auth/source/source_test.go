package source_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
	"proa/auth/source"
	"proa/cache"
)

// names is an index of names. Once it is held, it takes nothing until it is
// let go.
type names struct {
	mu   sync.Mutex
	have map[string]bool
	hold atomic.Pointer[chan struct{}]
}

func (n *names) wait() {
	if h := n.hold.Load(); h != nil {
		<-*h
	}
}

func (n *names) Set(obj any) {
	n.wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.have[obj.(*corev1.ConfigMap).Name] = true
}

func (n *names) Delete(obj any) {
	n.wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.have, obj.(*corev1.ConfigMap).Name)
}

func (n *names) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var l []string
	for k := range n.have {
		l = append(l, k)
	}
	slices.Sort(l)
	return l
}

// The index is what is stored, from the beginning and after any burst of
// changes, also one during which it is slow and its watch is cut.
func TestFollow(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithHub(cache.Options{LogEvents: 8, WatchLag: 8}))
	maps := env.Admin.CoreV1().ConfigMaps("default")
	for i := range 3 {
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := env.Table.View().Resource(corev1.SchemeGroupVersion.WithResource("configmaps"))
	x := &names{have: map[string]bool{}}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- source.Follow(ctx, env.Hub, m.Definition, x, func() { close(ready) }) }()
	<-ready
	if got := x.list(); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("at the beginning: %v", got)
	}
	hold := make(chan struct{})
	x.hold.Store(&hold)
	for i := 3; i < 60; i++ {
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 59 {
		if err := maps.Delete(t.Context(), fmt.Sprint(i), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	for end := time.Now().Add(10 * time.Second); !slices.Equal(x.list(), []string{"59"}); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("at the end: %v", x.list())
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What was written is found at once, and what is not there is said to be so.
func TestGetAfterWrite(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	o := source.New(env.Hub, env.Table.View())
	for i := range 20 {
		name := fmt.Sprint("sa", i)
		if _, err := o.ServiceAccount(t.Context(), "default", name); !apierrors.IsNotFound(err) || err.Error() != fmt.Sprintf("serviceaccounts %q not found", name) {
			t.Fatalf("before: %v", err)
		}
		added, stop := o.ServiceAccountAdded(t.Context(), "default", name)
		if _, err := env.Admin.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := o.ServiceAccount(t.Context(), "default", name); err != nil {
			t.Fatal(err)
		}
		select {
		case <-added:
		case <-time.After(10 * time.Second):
			t.Fatal("not told")
		}
		stop()
	}
	// Kinds that are not served have no objects.
	if _, err := o.CSIDriver(t.Context(), "x"); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	if l, err := o.IngressClasses(t.Context()); len(l) != 0 || err != nil {
		t.Error(l, err)
	}
}
