package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"proa/admission"
	admit "proa/admission/resourcequota"
	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/controller"
)

func list(pairs ...string) v1.ResourceList {
	l := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func TestDecide(t *testing.T) {
	t.Parallel()
	q := func(hard, statusHard, used v1.ResourceList) *v1.ResourceQuota {
		return &v1.ResourceQuota{Spec: v1.ResourceQuotaSpec{Hard: hard}, Status: v1.ResourceQuotaStatus{Hard: statusHard, Used: used}}
	}
	tests := map[string]struct {
		q       *v1.ResourceQuota
		used    v1.ResourceList
		changed bool
		lower   bool
	}{
		"new":           {q(list("pods", "5"), nil, nil), list("pods", "2"), true, false},
		"right":         {q(list("pods", "5"), list("pods", "5"), list("pods", "2")), list("pods", "2"), false, false},
		"other writing": {q(list("cpu", "1"), list("cpu", "1000m"), list("cpu", "500m")), list("cpu", "0.5"), false, false},
		"more":          {q(list("pods", "5"), list("pods", "5"), list("pods", "2")), list("pods", "3"), true, false},
		"less":          {q(list("pods", "5"), list("pods", "5"), list("pods", "2")), nil, true, true},
		"hard changed":  {q(list("pods", "5"), list("pods", "4"), list("pods", "2")), list("pods", "2"), true, false},
		"name gone":     {q(list("pods", "5"), list("pods", "5", "cpu", "1"), list("pods", "2", "cpu", "1")), list("pods", "2"), true, false},
	}
	for name, test := range tests {
		next, lower := decide(test.q, test.used)
		if (next != nil) != test.changed || lower != test.lower {
			t.Errorf("%s: changed=%v lower=%v", name, next != nil, lower)
		}
		if next != nil {
			if again, _ := decide(next, test.used); again != nil {
				t.Errorf("%s: changed again", name)
			}
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	c := &quotas{lowered: map[controller.Key]observation{}}
	k, now := controller.Key{Name: "q"}, time.Unix(0, 0)
	if w := c.wait(k, "1", false, now); w != 0 {
		t.Errorf("raising waits %v", w)
	}
	if w := c.wait(k, "1", true, now); w != quiet {
		t.Errorf("lowering waits %v", w)
	}
	// A charge in between begins the wait anew, but not for ever.
	now = now.Add(quiet / 2)
	if w := c.wait(k, "2", true, now); w != quiet {
		t.Errorf("after a charge: %v", w)
	}
	now = now.Add(quiet)
	if w := c.wait(k, "2", true, now); w != 0 {
		t.Errorf("left alone: %v", w)
	}
	if w := c.wait(k, "3", true, time.Unix(0, 0).Add(impatience)); w != 0 {
		t.Errorf("at the end of patience: %v", w)
	}
}

// viaAPI lets the admission plugin reach the server that it is part of.
type viaAPI struct{ client kubernetes.Interface }

func (a *viaAPI) ResourceQuotas(ctx context.Context, namespace string, _ bool) ([]*v1.ResourceQuota, error) {
	if a.client == nil {
		return nil, nil
	}
	l, err := a.client.CoreV1().ResourceQuotas(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var list []*v1.ResourceQuota
	for i := range l.Items {
		list = append(list, &l.Items[i])
	}
	return list, nil
}

func (a *viaAPI) update(ctx context.Context, q *v1.ResourceQuota) (*v1.ResourceQuota, error) {
	return a.client.CoreV1().ResourceQuotas(q.Namespace).UpdateStatus(ctx, q, metav1.UpdateOptions{})
}

// A namespace fills up to its quota and not beyond, and what is deleted is
// given back.
func TestFillAndEmpty(t *testing.T) {
	t.Parallel()
	api := &viaAPI{}
	env := apitest.Start(t, apitest.WithNamespaces("n"), apitest.WithConfig(func(c *apiserver.Config) {
		c.Admission = admission.Chain{admit.New(api, api.update, clock.RealClock{})}
	}))
	api.client = env.Admin
	md, err := metadata.NewForConfig(env.Loopback(apitest.AdminUser))
	if err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(v1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	factory := informers.NewSharedInformerFactory(env.Admin, 0)
	c, err := newController(controller.Env{
		Client: env.Admin, Metadata: md, Mapper: mapper, Informers: factory, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	factory.Start(ctx.Done())
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		factory.Shutdown()
	})

	core := env.Admin.CoreV1()
	if _, err := core.ResourceQuotas("n").Create(ctx, &v1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: v1.ResourceQuotaSpec{Hard: list("pods", "5", "requests.cpu", "10", "count/configmaps", "2")},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	usedIs := func(name v1.ResourceName, want string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			q, err := core.ResourceQuotas("n").Get(ctx, "q", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := q.Status.Used[name]; ok && got.String() == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v, want %s", name, q.Status.Used, want)
			}
		}
	}
	usedIs("pods", "0")
	usedIs("count/configmaps", "0")

	var wg sync.WaitGroup
	var mu sync.Mutex
	var made []string
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprintf("p%d", i)
			_, err := core.Pods("n").Create(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Containers: []v1.Container{
				{Name: "c", Image: "i", Resources: v1.ResourceRequirements{Requests: list("cpu", "1")}},
			}}}, metav1.CreateOptions{})
			if err == nil {
				mu.Lock()
				made = append(made, name)
				mu.Unlock()
			} else if !apierrors.IsForbidden(err) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(made) != 5 {
		t.Fatalf("%d pods of 5", len(made))
	}
	usedIs("requests.cpu", "5")
	for i := range 3 {
		_, err := core.ConfigMaps("n").Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}}, metav1.CreateOptions{})
		if (err == nil) != (i < 2) {
			t.Errorf("config map %d: %v", i, err)
		}
	}
	zero := int64(0)
	for _, name := range made[:2] {
		if err := core.Pods("n").Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			t.Fatal(err)
		}
	}
	if err := core.ConfigMaps("n").Delete(ctx, "0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	usedIs("pods", "3")
	usedIs("requests.cpu", "3")
	usedIs("count/configmaps", "1")
}
