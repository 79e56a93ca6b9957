package endpointslicemirroring

import (
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func addresses(ips ...string) []v1.EndpointAddress {
	var out []v1.EndpointAddress
	for _, ip := range ips {
		out = append(out, v1.EndpointAddress{IP: ip})
	}
	return out
}

func subset(port int32, ready, notReady []v1.EndpointAddress) v1.EndpointSubset {
	return v1.EndpointSubset{Addresses: ready, NotReadyAddresses: notReady, Ports: []v1.EndpointPort{{Name: "p", Port: port, Protocol: v1.ProtocolTCP}}}
}

func TestMirrors(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Unix(1, 0))
	plain := &v1.Service{}
	for name, c := range map[string]struct {
		meta metav1.ObjectMeta
		svc  *v1.Service
		want bool
	}{
		"service without selector": {svc: plain, want: true},
		"service with selector":    {svc: &v1.Service{Spec: v1.ServiceSpec{Selector: map[string]string{"a": "b"}}}},
		"no service":               {},
		"not to be mirrored":       {svc: plain, meta: metav1.ObjectMeta{Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}}},
		"a lock":                   {svc: plain, meta: metav1.ObjectMeta{Annotations: map[string]string{leaderAnnotation: "{}"}}},
		"deleted":                  {svc: plain, meta: metav1.ObjectMeta{DeletionTimestamp: &now}},
	} {
		if got := mirrors(&v1.Endpoints{ObjectMeta: c.meta}, c.svc); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// show writes slices down shortly.
func show(list []*discoveryv1.EndpointSlice) []string {
	var out []string
	for _, s := range list {
		line := fmt.Sprint(s.Name, s.AddressType, *s.Ports[0].Port)
		for _, e := range s.Endpoints {
			line += fmt.Sprint(" ", e.Addresses[0], "=", *e.Conditions.Ready)
		}
		out = append(out, line)
	}
	return out
}

func TestDecide(t *testing.T) {
	t.Parallel()
	ep := &v1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "ns", UID: "1", Labels: map[string]string{"a": "b", discoveryv1.LabelServiceName: "liar"},
			Annotations: map[string]string{v1.LastAppliedConfigAnnotation: "x", "c": "d"}},
		Subsets: []v1.EndpointSubset{
			subset(80, addresses("10.0.0.2", "2001:db8::2", "10.0.0.2"), addresses("10.0.0.3")),
			subset(80, addresses("10.0.0.4"), addresses("10.0.0.2")),
			subset(81, nil, addresses("10.0.0.2")),
		},
	}
	first := decide(ep, nil)
	want := []string{"IPv480 10.0.0.2=true 10.0.0.4=true 10.0.0.3=false", "IPv481 10.0.0.2=false", "IPv680 2001:db8::2=true"}
	if got := show(first.Create); !slices.Equal(got, want) || len(first.Update)+len(first.Remove) > 0 {
		t.Fatalf("got %q", got)
	}
	s := first.Create[0]
	if s.Labels["a"] != "b" || s.Labels[discoveryv1.LabelServiceName] != "e" || s.Labels[discoveryv1.LabelManagedBy] != managedBy ||
		len(s.Annotations) != 1 || s.Annotations["c"] != "d" || s.OwnerReferences[0].Kind != "Endpoints" {
		t.Errorf("metadata %+v", s.ObjectMeta)
	}
	for i, s := range first.Create {
		s.Name = fmt.Sprint("s", i)
	}
	if p := decide(ep, first.Create); len(p.Create)+len(p.Update)+len(p.Remove) > 0 {
		t.Errorf("the second time: %+v", p)
	}
	next := ep.DeepCopy()
	next.Subsets = next.Subsets[:2]
	next.Subsets[0].NotReadyAddresses = nil
	p := decide(next, first.Create)
	if got := show(p.Update); !slices.Equal(got, []string{"s0IPv480 10.0.0.2=true 10.0.0.4=true"}) {
		t.Errorf("updated: %q", got)
	}
	if got := show(p.Remove); !slices.Equal(got, []string{"s1IPv481 10.0.0.2=false"}) || len(p.Create) > 0 {
		t.Errorf("removed: %q, created %d", got, len(p.Create))
	}
	if p := decide(nil, first.Create); len(p.Remove) != 3 || len(p.Create)+len(p.Update) > 0 {
		t.Errorf("nothing to mirror: %+v", p)
	}
}

func TestDecideIsBounded(t *testing.T) {
	t.Parallel()
	var many []v1.EndpointAddress
	for i := range 3 * maxEndpoints {
		many = append(many, v1.EndpointAddress{IP: fmt.Sprintf("10.0.%d.%d", i/250, i%250)})
	}
	p := decide(&v1.Endpoints{Subsets: []v1.EndpointSubset{subset(80, many[:5], many), subset(81, many[2000:2010], nil)}}, nil)
	if len(p.Create) != 2 || len(p.Create[0].Endpoints) != maxEndpoints || len(p.Create[1].Endpoints) != 10 || !*p.Create[0].Endpoints[4].Conditions.Ready {
		t.Errorf("%d slices", len(p.Create))
	}
}

// Endpoints are mirrored, followed, and given up when the service gets a
// selector or they go.
func TestController(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	core, ctx := env.Admin.CoreV1(), t.Context()
	svc, err := core.Services("default").Create(ctx, &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: v1.ServiceSpec{Ports: []v1.ServicePort{{Name: "p", Port: 80}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ep := &v1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Subsets: []v1.EndpointSubset{subset(80, addresses("10.0.0.2"), nil)}}
	if ep, err = core.Endpoints("default").Create(ctx, ep, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	mirrored := func(want ...string) {
		t.Helper()
		controllertest.Until(t, func() string {
			list, err := env.Admin.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=s"})
			if err != nil {
				return err.Error()
			}
			var got []string
			for i := range list.Items {
				list.Items[i].Name = ""
				got = append(got, show([]*discoveryv1.EndpointSlice{&list.Items[i]})...)
			}
			if !slices.Equal(got, want) {
				return fmt.Sprintf("got %q, want %q", got, want)
			}
			return ""
		})
	}
	mirrored("IPv480 10.0.0.2=true")
	ep.Subsets[0].Addresses = addresses("10.0.0.3")
	if ep, err = core.Endpoints("default").Update(ctx, ep, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	mirrored("IPv480 10.0.0.3=true")
	svc.Spec.Selector = map[string]string{"a": "b"}
	if svc, err = core.Services("default").Update(ctx, svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	mirrored()
	svc.Spec.Selector = nil
	if _, err = core.Services("default").Update(ctx, svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	mirrored("IPv480 10.0.0.3=true")
	if err := core.Endpoints("default").Delete(ctx, "s", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr.To(ep.UID)}}); err != nil {
		t.Fatal(err)
	}
	mirrored()
}
