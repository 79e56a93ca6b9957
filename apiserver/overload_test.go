package apiserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/fairness"
	"proa/auth"
	"proa/cache"
	"proa/resource"
)

// held is an admission plugin that keeps whoever is greedy until it is released.
type held struct{ release chan struct{} }

// Name implements admission.Plugin.
func (held) Name() string { return "Held" }

// Handles implements admission.Plugin.
func (held) Handles(op admission.Operation, def *resource.Definition, _ string) bool {
	return op == admission.Create && admission.Is(def, "", "configmaps")
}

// Validate implements admission.Validator.
func (h held) Validate(ctx context.Context, a *admission.Attributes) error {
	if !strings.HasPrefix(a.User.Name, "greedy") {
		return nil
	}
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestOverload: greedy clients send more than the server can work on, and what it
// works on for them comes to no end. Nodes renew their leases all the same, leaders
// theirs, the operator gets in, and memory stays bounded. In the end each greedy
// request has been carried out, or told to come again later.
func TestOverload(t *testing.T) {
	clients, nodes, renewals := 500, 20, 10
	if testing.Short() {
		clients, nodes, renewals = 100, 5, 4
	}
	const (
		users    = 5 // more than that many of one would find no queue
		requests = 2000
		// perRequest is what a request that waits may take, at both ends and with its
		// share of the connection.
		perRequest = 192 << 10
	)
	h := held{make(chan struct{})}
	free := sync.OnceFunc(func() { close(h.release) })
	env := apitest.Start(t, apitest.WithNamespaces(v1.NamespaceNodeLease, metav1.NamespaceSystem),
		apitest.WithAdmission(func(*cache.Hub, *resource.Table) admission.Chain { return admission.Chain{h} }),
		apitest.WithConfig(func(c *apiserver.Config) {
			c.Fairness = fairness.New(fairness.Config{Total: 32, Patience: time.Hour})
			c.Timeout = time.Hour // nothing here depends on time
		}))
	t.Cleanup(free) // before the server waits for its requests
	before := heap()

	var (
		greedy          sync.WaitGroup
		answered, later atomic.Int64
		refused         = make([]atomic.Int64, users)
	)
	// All are connected before: Go's server ends a new connection whose first frame
	// it has not read within two seconds, which is a matter of time.
	connected := make([]*http.Client, clients)
	for i := range connected {
		connected[i] = dial(t, env, &auth.User{Name: fmt.Sprintf("greedy-%d", i%users), Groups: []string{auth.GroupAuthenticated}})
	}
	for i, client := range connected {
		for n := range requests / clients {
			greedy.Go(func() {
				body := fmt.Sprintf(`{"metadata":{"name":"c%d-%d"},"data":{"x":%q}}`, i, n, strings.Repeat("x", 4<<10))
				resp, err := client.Post(env.URL()+"/api/v1/namespaces/default/configmaps", "application/json", bytes.NewReader([]byte(body)))
				if err != nil {
					t.Errorf("a greedy request was not answered: %v", err)
					return
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
				switch {
				case resp.StatusCode == http.StatusCreated:
					answered.Add(1)
				case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
					later.Add(1)
					refused[i%users].Add(1)
				default:
					t.Errorf("a greedy request was answered with %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
				}
			})
		}
	}
	// Once each user is refused, its seats and queues are full, and stay so.
	for i := range refused {
		for refused[i].Load() == 0 && !t.Failed() {
			runtime.Gosched()
			time.Sleep(time.Millisecond)
		}
	}
	if n := answered.Load(); n > 0 {
		t.Errorf("%d greedy requests were carried out while they were held", n)
	}

	var well sync.WaitGroup
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		well.Go(func() {
			renew(t, env.Remote(&auth.User{Name: auth.NodePrefix + name, Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}), v1.NamespaceNodeLease, name, renewals)
		})
	}
	well.Go(func() {
		renew(t, env.Remote(&auth.User{Name: "system:kube-controller-manager", Groups: []string{auth.GroupAuthenticated}}), metav1.NamespaceSystem, "kube-controller-manager", renewals)
	})
	well.Go(func() {
		if _, err := env.Remote(apitest.AdminUser).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Errorf("the operator did not get in: %v", err)
		}
	})
	well.Wait()
	if now := heap(); now > before+requests*perRequest {
		t.Errorf("%d requests that wait take %d KiB each", requests, (now-before)/requests>>10)
	}

	free()
	greedy.Wait()
	if answered.Load() == 0 || later.Load() == 0 || answered.Load()+later.Load() != requests {
		t.Errorf("%d greedy requests were carried out and %d told to come later, of %d", answered.Load(), later.Load(), requests)
	}
	list, err := env.Admin.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || int64(len(list.Items)) != answered.Load() {
		t.Errorf("%d were acknowledged, and %d are there (%v)", answered.Load(), len(list.Items), err)
	}
}

// heap is what is in use of it.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// dial makes a client that has a connection.
func dial(t *testing.T, env *apitest.Env, u *auth.User) *http.Client {
	t.Helper()
	c, err := restclient.HTTPClientFor(env.Config(u))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		var resp *http.Response
		if resp, err = c.Get(env.URL() + "/version"); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return c
		}
	}
	t.Fatalf("%s cannot connect: %v", u.Name, err)
	return nil
}

// renew makes a lease and renews it.
func renew(t *testing.T, k kubernetes.Interface, namespace, name string, times int) {
	leases := k.CoordinationV1().Leases(namespace)
	l, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	for range times {
		if err != nil {
			t.Errorf("the lease of %s was not renewed: %v", name, err)
			return
		}
		l.Spec.LeaseTransitions = ptr.To(ptr.Deref(l.Spec.LeaseTransitions, 0) + 1)
		l, err = leases.Update(t.Context(), l, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Errorf("the lease of %s was not renewed: %v", name, err)
	}
}
