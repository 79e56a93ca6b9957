package encryption_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"

	"proa/apiserver/apitest"
	"proa/cache"
	"proa/cache/encryption"
	"proa/store/memory"
)

// server is an API server over a store, with a configuration that can be exchanged.
type server struct {
	*apitest.Env
	path string
	// reloaded is told when a configuration has come into force.
	reloaded chan struct{}
}

func serve(t *testing.T, st *memory.Store, config string) server {
	t.Helper()
	s := server{path: filepath.Join(t.TempDir(), "encryption.yaml"), reloaded: make(chan struct{}, 10)}
	write(t, s.path, config)
	e, err := encryption.Open(t.Context(), encryption.Options{Path: s.path, Reload: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s.Env = apitest.Start(t, apitest.WithStore(st), apitest.WithHub(cache.Options{Transformer: e.For}))
	e.Notify(func() { s.Hub.Reread(); s.reloaded <- struct{}{} })
	return s
}

// reload brings another configuration into force.
func (s server) reload(t *testing.T, config string) {
	t.Helper()
	write(t, s.path, config)
	<-s.reloaded
}

// stored is what is in the store under the name of a Secret.
func (s server) stored(t *testing.T, name string) string {
	t.Helper()
	kv, _, err := s.Store.Get(t.Context(), "/registry/secrets/default/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return string(kv.Value)
}

func secret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"password": "correct horse"}}
}

func newStore(t *testing.T) *memory.Store {
	t.Helper()
	st := memory.New(memory.Options{})
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// rewrite replaces every Secret by itself, as `kubectl get -o json | kubectl
// replace -f -` does, and returns how many were written.
func rewrite(t *testing.T, c kubernetes.Interface) int {
	t.Helper()
	list, err := c.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range list.Items {
		was := &list.Items[i]
		now, err := c.CoreV1().Secrets(was.Namespace).Update(t.Context(), was.DeepCopy(), metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if now.ResourceVersion != was.ResourceVersion {
			n++
		}
	}
	return n
}

// Keys are rotated while the server runs: a Secret is rewritten, once, by the
// first write that changes nothing, and by nothing before.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := serve(t, newStore(t), config("secrets: identity"))
	create := func(name string) {
		t.Helper()
		if _, err := s.Admin.CoreV1().Secrets("default").Create(t.Context(), secret(name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create("old")
	if !strings.Contains(s.stored(t, "old"), "correct horse") {
		t.Fatal("this test does not see what is stored")
	}
	for i, step := range []struct{ config, prefix string }{
		{config("secrets: secretbox=a identity"), "k8s:enc:secretbox:v1:a:"},
		{config("secrets: secretbox=b,a"), "k8s:enc:secretbox:v1:b:"},
		{config("secrets: aesgcm=a secretbox=b"), "k8s:enc:aesgcm:v1:a:"},
	} {
		before := s.stored(t, "old")
		s.reload(t, step.config)
		create(fmt.Sprint("new", i))
		if s.stored(t, "old") != before {
			t.Error("a value changed that nobody has written")
		}
		if n := rewrite(t, s.Admin); n == 0 {
			t.Error("nothing was rewritten")
		}
		if now := s.stored(t, "old"); !strings.HasPrefix(now, step.prefix) || strings.Contains(now, "correct horse") {
			t.Errorf("stored as %.40q, want %s", now, step.prefix)
		}
		if n := rewrite(t, s.Admin); n != 0 {
			t.Errorf("%d Secrets were written though nothing had changed", n)
		}
	}
	got, err := s.Admin.CoreV1().Secrets("default").Get(t.Context(), "old", metav1.GetOptions{})
	if err != nil || string(got.Data["password"]) != "correct horse" {
		t.Errorf("%v, %v", got.Data, err)
	}
}

// Without its key a Secret cannot be read, and says so; the server runs, and
// serves everything else. When the key comes back, informers see the Secret.
func TestKeyIsLostAndFound(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	first := serve(t, st, config("secrets: secretbox=a"))
	if _, err := first.Admin.CoreV1().Secrets("default").Create(t.Context(), secret("lost"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, st, config("secrets: secretbox=b"))
	secrets := s.Admin.CoreV1().Secrets("default")
	_, err := secrets.Get(t.Context(), "lost", metav1.GetOptions{})
	if apierrors.ReasonForError(err) != "StorageReadError" || !strings.Contains(err.Error(), `secretbox "a"`) {
		t.Errorf("without its key: %v", err)
	}
	found, err := secrets.Create(t.Context(), secret("found"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Get(t.Context(), "found", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Admin.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	w, err := secrets.Watch(t.Context(), metav1.ListOptions{ResourceVersion: found.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	s.reload(t, config("secrets: secretbox=b,a"))
	if got, err := secrets.Get(t.Context(), "lost", metav1.GetOptions{}); err != nil || string(got.Data["password"]) != "correct horse" {
		t.Error(err)
	}
	select {
	case e := <-w.ResultChan():
		if status, ok := e.Object.(*metav1.Status); !ok || status.Reason != metav1.StatusReasonExpired {
			t.Errorf("a watch from before says %+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("a watch from before goes on without the Secret")
	}
}

// An informer gets a Secret that another server wrote with a key which this one
// had not yet.
func TestInformersRecover(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	writer := serve(t, st, config("secrets: secretbox=a,b"))
	s := serve(t, st, config("secrets: secretbox=a"))
	seen := make(chan string, 100)
	_, informer := toolscache.NewInformerWithOptions(toolscache.InformerOptions{
		ListerWatcher: toolscache.NewListWatchFromClient(s.Admin.CoreV1().RESTClient(), "secrets", "default", fields.Everything()), ObjectType: &corev1.Secret{},
		Handler: toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { seen <- o.(*corev1.Secret).Name },
			UpdateFunc: func(_, o any) { seen <- o.(*corev1.Secret).Name },
		},
	})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { informer.Run(stop); close(done) }()
	defer func() { close(stop); <-done }()
	create := func(name string) {
		t.Helper()
		if _, err := writer.Admin.CoreV1().Secrets("default").Create(t.Context(), secret(name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(want string) {
		t.Helper()
		for end := time.After(20 * time.Second); ; {
			select {
			case name := <-seen:
				if name == want {
					return
				}
			case <-end:
				t.Fatalf("the informer never sees %s", want)
			}
		}
	}
	create("one")
	wait("one")
	writer.reload(t, config("secrets: secretbox=b,a"))
	create("two")
	s.reload(t, config("secrets: secretbox=b,a"))
	wait("two")
}
