package resourcequota

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func quota(name string, hard, used corev1.ResourceList) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, ResourceVersion: "1"},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used},
	}
}

// shared is quotas in a store: a write needs the version that was read.
type shared struct {
	mu     sync.Mutex
	quotas map[string]*corev1.ResourceQuota
	writes int
	// disturb makes some writes fail as if another had come before.
	disturb func() bool
}

func (s *shared) ResourceQuotas(context.Context, string, bool) ([]*corev1.ResourceQuota, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l []*corev1.ResourceQuota
	for _, q := range s.quotas {
		l = append(l, q)
	}
	return l, nil
}

func (s *shared) update(_ context.Context, q *corev1.ResourceQuota) (*corev1.ResourceQuota, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	was := s.quotas[q.Name]
	if was.ResourceVersion != q.ResourceVersion || s.disturb != nil && s.disturb() {
		return nil, apierrors.NewConflict(corev1.Resource("resourcequotas"), q.Name, nil)
	}
	q = q.DeepCopy()
	v, _ := strconv.Atoi(was.ResourceVersion)
	q.ResourceVersion = strconv.Itoa(v + 1)
	s.quotas[q.Name] = q
	return q, nil
}

func pod(name string, requests corev1.ResourceList) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests}},
	}}}
}

func create(ctx context.Context, p *Plugin, o *corev1.Pod) error {
	_, err := admissiontest.Run(ctx, p, &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Namespace: "n", Name: o.Name, Object: o})
	return err
}

// Two servers admit at once; nothing is exceeded, nothing is lost, and writes
// are shared.
func TestNeverOvershoots(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := &shared{quotas: map[string]*corev1.ResourceQuota{
			"a": quota("a", list("pods", "50"), list("pods", "0")),
			"b": quota("b", list("requests.cpu", "40"), list("requests.cpu", "0")),
		}, disturb: func() bool { return r.IntN(10) == 0 }}
		servers := []*Plugin{New(s, s.update, clock.RealClock{}), New(s, s.update, clock.RealClock{})}
		var admitted, busy atomic.Int64
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				err := create(t.Context(), servers[i%2], pod(fmt.Sprint(i), list("cpu", "1")))
				switch {
				case err == nil:
					admitted.Add(1)
				case apierrors.IsTooManyRequests(err):
					busy.Add(1)
				case !apierrors.IsForbidden(err):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		cpu := s.quotas["b"].Status.Used["requests.cpu"]
		pods := s.quotas["a"].Status.Used["pods"]
		n := admitted.Load()
		if n > 40 || cpu.Value() > 40 || pods.Value() > 50 || cpu.Value() < n || pods.Value() < n {
			t.Errorf("seed %d: %d admitted, %s pods and %s cpu charged", seed, n, pods.String(), cpu.String())
		}
		if busy.Load() == 0 && n != 40 {
			t.Errorf("seed %d: %d admitted of 40", seed, n)
		}
		for _, p := range servers {
			for left := 1; left != 0; time.Sleep(time.Millisecond) {
				p.mu.Lock()
				left = len(p.lines)
				p.mu.Unlock()
			}
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	scoped := quota("scoped", list("pods", "0"), list("pods", "0"))
	scoped.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeBestEffort}
	fresh := quota("fresh", list("pods", "0"), nil)
	fresh.Status = corev1.ResourceQuotaStatus{}
	svc := func(t corev1.ServiceType, ports int) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{Type: t, Ports: make([]corev1.ServicePort, ports)}}
	}
	cpu1 := pod("p", list("cpu", "1"))
	tests := map[string]struct {
		q    *corev1.ResourceQuota
		c    charge
		used string // after, where it changes
		want string
	}{
		"room":              {quota("q", list("requests.cpu", "2"), list("requests.cpu", "1")), charge{of: corev1.Resource("pods"), obj: cpu1}, "requests.cpu=2", ""},
		"no room":           {quota("q", list("requests.cpu", "2", "pods", "9"), list("requests.cpu", "1500m", "pods", "1")), charge{of: corev1.Resource("pods"), obj: cpu1}, "", "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1500m, limited: requests.cpu=2"},
		"says nothing":      {quota("q", list("requests.cpu", "2", "limits.memory", "1Gi"), list("requests.cpu", "0", "limits.memory", "0")), charge{of: corev1.Resource("pods"), obj: pod("p", nil)}, "", "failed quota: q: must specify limits.memory for: c; requests.cpu for: c"},
		"unknown":           {quota("q", list("pods", "2"), nil), charge{of: corev1.Resource("pods"), obj: cpu1}, "", "status unknown for quota: q, resources: pods"},
		"not looked at yet": {fresh, charge{of: corev1.Resource("pods"), obj: cpu1}, "", ""},
		"out of scope":      {scoped, charge{of: corev1.Resource("pods"), obj: cpu1}, "", ""},
		"in scope":          {scoped, charge{of: corev1.Resource("pods"), obj: pod("p", nil)}, "", "exceeded quota: scoped, requested: pods=1, used: pods=0, limited: pods=0"},
		"other kind":        {quota("q", list("pods", "0"), list("pods", "0")), charge{of: corev1.Resource("secrets"), obj: &corev1.Secret{}}, "", ""},
		"object count":      {quota("q", list("count/configmaps", "1", "configmaps", "5"), list("count/configmaps", "1", "configmaps", "1")), charge{of: corev1.Resource("configmaps"), obj: &corev1.ConfigMap{}}, "", "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"},
		"node ports":        {quota("q", list("services.nodeports", "2"), list("services.nodeports", "0")), charge{of: corev1.Resource("services"), obj: svc(corev1.ServiceTypeNodePort, 2)}, "services.nodeports=2", ""},
		"only the more":     {quota("q", list("services.nodeports", "3", "services", "1"), list("services.nodeports", "2", "services", "1")), charge{of: corev1.Resource("services"), obj: svc(corev1.ServiceTypeNodePort, 3), old: svc(corev1.ServiceTypeNodePort, 2)}, "services=1,services.nodeports=3", ""},
		"less":              {quota("q", list("services.nodeports", "1"), list("services.nodeports", "2")), charge{of: corev1.Resource("services"), obj: svc(corev1.ServiceTypeClusterIP, 2), old: svc(corev1.ServiceTypeNodePort, 2)}, "", ""},
		"paid":              {quota("q", list("pods", "1"), list("pods", "1")), charge{of: corev1.Resource("pods"), obj: cpu1, paid: map[string]bool{"q": true}}, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed, err := decide([]*corev1.ResourceQuota{test.q}, test.c, time.Now())
			if test.want != "" {
				if err == nil || err.Error() != test.want {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(changed) == 1 {
				got = describe(changed[0].Status.Used)
			}
			if got != test.used {
				t.Errorf("got %q, want %q", got, test.used)
			}
		})
	}
}

func TestDryRunIsNotCharged(t *testing.T) {
	t.Parallel()
	s := &shared{quotas: map[string]*corev1.ResourceQuota{"a": quota("a", list("pods", "1"), list("pods", "0"))}}
	p := New(s, s.update, clock.RealClock{})
	for range 3 {
		if _, err := admissiontest.Run(t.Context(), p, &admission.Attributes{
			Operation: admission.Create, Definition: core.Pod(), Namespace: "n", Name: "p", Object: pod("p", nil), DryRun: true,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if s.writes != 0 {
		t.Errorf("%d writes", s.writes)
	}
	if err := create(t.Context(), p, pod("p", nil)); err != nil {
		t.Error(err)
	}
	err := create(t.Context(), p, pod("q", nil))
	if err == nil || !strings.Contains(err.Error(), `pods "q" is forbidden: exceeded quota: a, requested: pods=1, used: pods=1, limited: pods=1`) {
		t.Error(err)
	}
	if s.writes != 1 {
		t.Errorf("%d writes", s.writes)
	}
}
