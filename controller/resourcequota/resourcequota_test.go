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
	testingclock "k8s.io/utils/clock/testing"

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
	factory, clock := informers.NewSharedInformerFactory(env.Admin, 0), testingclock.NewFakeClock(time.Now())
	c, err := newController(controller.Env{
		Client: env.Admin, Metadata: md, Mapper: mapper, Informers: factory, Clock: clock, Log: slog.New(slog.DiscardHandler),
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
	clock.Step(unsure)

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
	// A charge that came to nothing is given back when no request can be under way.
	q, err := core.ResourceQuotas("n").Get(ctx, "q", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	q.Status.Used["count/configmaps"] = resource.MustParse("2")
	if _, err := core.ResourceQuotas("n").UpdateStatus(ctx, q, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		clock.Step(time.Second)
		q, err := core.ResourceQuotas("n").Get(ctx, "q", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Status.Used["count/configmaps"]; got.Value() == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the charge stays: %v", q.Status.Used)
		}
	}
}
