package endpointslice

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func service() *v1.Service {
	return &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s", UID: "s", Labels: map[string]string{"mine": "yes"}},
		Spec: v1.ServiceSpec{
			ClusterIP: "10.43.0.1", IPFamilies: []v1.IPFamily{v1.IPv4Protocol}, Selector: map[string]string{"a": "b"},
			Ports: []v1.ServicePort{{Name: "http", Protocol: v1.ProtocolTCP, Port: 80, TargetPort: intstr.FromString("web")}},
		},
	}
}

func pod(i int, port int32, ready bool) *v1.Pod {
	status := v1.ConditionFalse
	if ready {
		status = v1.ConditionTrue
	}
	name := fmt.Sprintf("p%d", i)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(name)},
		Spec:       v1.PodSpec{NodeName: "node", Containers: []v1.Container{{Ports: []v1.ContainerPort{{Name: "web", ContainerPort: port, Protocol: v1.ProtocolTCP}}}}},
		Status: v1.PodStatus{
			PodIPs:     []v1.PodIP{{IP: fmt.Sprintf("10.42.%d.%d", i/250, i%250)}, {IP: fmt.Sprintf("fd00::%x", i)}},
			Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: status}},
		},
	}
}

// world keeps slices as an API server would.
type world struct {
	slices map[types.UID]*discoveryv1.EndpointSlice
	next   int
}

func (w *world) list() []*discoveryv1.EndpointSlice {
	return slices.Collect(maps.Values(w.slices))
}

func (w *world) apply(p plan) (writes int) {
	for _, s := range p.Create {
		w.next++
		made := s.DeepCopy()
		made.Name = fmt.Sprintf("%s%d", s.GenerateName, w.next)
		made.UID = types.UID(made.Name)
		w.slices[made.UID] = made
	}
	for _, s := range p.Update {
		w.slices[s.UID] = s.DeepCopy()
	}
	for _, s := range p.Remove {
		delete(w.slices, s.UID)
	}
	return len(p.Create) + len(p.Update) + len(p.Remove)
}

// Whatever pods come, go and change, every one with an address is in exactly
// one slice, with its own port; no slice is too large; what is right is left
// alone; and an endpoint stays where it was.
func TestSlices(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 0))
		w := &world{slices: map[types.UID]*discoveryv1.EndpointSlice{}}
		svc := service()
		pods := map[int]*v1.Pod{}
		where := map[string]types.UID{}
		for round := range 12 {
			for range random.IntN(150) {
				i := random.IntN(400)
				if random.IntN(3) == 0 {
					delete(pods, i)
				} else {
					pods[i] = pod(i, int32(8080+random.IntN(2)*(i%2)), random.IntN(2) == 0)
				}
			}
			list := slices.Collect(maps.Values(pods))
			shared := w.list()
			copies := make([]*discoveryv1.EndpointSlice, len(shared))
			for i := range shared {
				copies[i] = shared[i].DeepCopy()
			}
			w.apply(decide(svc, list, shared, func(string) string { return "z" }))
			for i := range shared {
				if !equality.Semantic.DeepEqual(shared[i], copies[i]) {
					t.Fatalf("seed %d: a shared slice was changed", seed)
				}
			}
			if n := w.apply(decide(svc, list, w.list(), func(string) string { return "z" })); n != 0 {
				t.Fatalf("seed %d round %d: %d writes where all is right", seed, round, n)
			}
			seen := map[string]types.UID{}
			for uid, s := range w.slices {
				if len(s.Endpoints) > maxEndpoints {
					t.Fatalf("seed %d: %d endpoints in a slice", seed, len(s.Endpoints))
				}
				if s.Labels[discoveryv1.LabelServiceName] != "s" || s.Labels["mine"] != "yes" || !metav1.IsControlledBy(s, svc) {
					t.Fatalf("seed %d: whose is %+v", seed, s.ObjectMeta)
				}
				for _, e := range s.Endpoints {
					var i int
					if _, err := fmt.Sscanf(e.TargetRef.Name, "p%d", &i); err != nil {
						t.Fatal(err)
					}
					p := pods[i]
					if _, twice := seen[p.Name]; twice || *s.Ports[0].Port != p.Spec.Containers[0].Ports[0].ContainerPort ||
						*e.Conditions.Ready != (p.Status.Conditions[0].Status == v1.ConditionTrue) || e.Addresses[0] != p.Status.PodIPs[0].IP || *e.Zone != "z" {
						t.Fatalf("seed %d: %+v of %s, twice: %v", seed, e, p.Name, twice)
					}
					key := fmt.Sprint(p.Name, *s.Ports[0].Port)
					if was, ok := where[key]; ok && was != uid && w.slices[was] != nil && round > 0 {
						t.Fatalf("seed %d: %s moved from %s to %s", seed, p.Name, was, uid)
					}
					seen[p.Name] = uid
				}
			}
			if len(seen) != len(pods) {
				t.Fatalf("seed %d: %d endpoints of %d pods", seed, len(seen), len(pods))
			}
			clear(where)
			for name, uid := range seen {
				var i int
				if _, err := fmt.Sscanf(name, "p%d", &i); err != nil {
					t.Fatal(err)
				}
				where[fmt.Sprint(name, pods[i].Spec.Containers[0].Ports[0].ContainerPort)] = uid
			}
		}
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	now := metav1.Now()
	for name, tt := range map[string]struct {
		change                      func(*v1.Service, *v1.Pod)
		ready, serving, terminating bool
		none                        bool
	}{
		"ready":                  {func(*v1.Service, *v1.Pod) {}, true, true, false, false},
		"terminating":            {func(_ *v1.Service, p *v1.Pod) { p.DeletionTimestamp = &now }, false, true, true, false},
		"not ready":              {func(_ *v1.Service, p *v1.Pod) { p.Status.Conditions = nil }, false, false, false, false},
		"not ready, but wanted":  {func(s *v1.Service, p *v1.Pod) { p.Status.Conditions, s.Spec.PublishNotReadyAddresses = nil, true }, true, false, false, false},
		"finished":               {func(_ *v1.Service, p *v1.Pod) { p.Status.Phase = v1.PodFailed }, false, false, false, true},
		"without an address":     {func(_ *v1.Service, p *v1.Pod) { p.Status.PodIPs = nil }, false, false, false, true},
		"with an unusable one":   {func(_ *v1.Service, p *v1.Pod) { p.Status.PodIPs = []v1.PodIP{{IP: "x"}} }, false, false, false, true},
		"of another family only": {func(_ *v1.Service, p *v1.Pod) { p.Status.PodIPs = p.Status.PodIPs[1:] }, false, false, false, true},
	} {
		svc, p := service(), pod(1, 80, true)
		tt.change(svc, p)
		e, ok := endpointOf(svc, p, discoveryv1.AddressTypeIPv4, func(string) string { return "" })
		if ok == tt.none {
			t.Errorf("%s: %+v", name, e)
		}
		if ok && (*e.Conditions.Ready != tt.ready || *e.Conditions.Serving != tt.serving || *e.Conditions.Terminating != tt.terminating) {
			t.Errorf("%s: ready %v, serving %v, terminating %v", name, *e.Conditions.Ready, *e.Conditions.Serving, *e.Conditions.Terminating)
		}
	}
}

// A service of two families has slices of both; one that loses a family loses
// its slices; and with nothing behind it one empty slice of each says so.
func TestFamilies(t *testing.T) {
	t.Parallel()
	w := &world{slices: map[types.UID]*discoveryv1.EndpointSlice{}}
	svc := service()
	zone := func(string) string { return "" }
	svc.Spec.IPFamilies = append(svc.Spec.IPFamilies, v1.IPv6Protocol)
	count := func() map[discoveryv1.AddressType]int {
		n := map[discoveryv1.AddressType]int{}
		for _, s := range w.slices {
			n[s.AddressType] += 1 + 10*len(s.Endpoints)
		}
		return n
	}
	w.apply(decide(svc, nil, w.list(), zone))
	if got := count(); got[discoveryv1.AddressTypeIPv4] != 1 || got[discoveryv1.AddressTypeIPv6] != 1 {
		t.Errorf("empty: %v", got)
	}
	w.apply(decide(svc, []*v1.Pod{pod(1, 80, true)}, w.list(), zone))
	if got := count(); got[discoveryv1.AddressTypeIPv4] != 11 || got[discoveryv1.AddressTypeIPv6] != 11 {
		t.Errorf("with a pod: %v", got)
	}
	svc.Spec.IPFamilies = svc.Spec.IPFamilies[:1]
	w.apply(decide(svc, []*v1.Pod{pod(1, 80, true)}, w.list(), zone))
	if got := count(); got[discoveryv1.AddressTypeIPv4] != 11 || len(got) != 1 {
		t.Errorf("of one family: %v", got)
	}
}
