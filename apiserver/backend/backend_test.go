package backend

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type world struct {
	service *corev1.Service
	slices  []*discoveryv1.EndpointSlice
}

func (w world) Service(_ context.Context, _, name string) (*corev1.Service, error) {
	if w.service == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, name)
	}
	return w.service, nil
}

func (w world) EndpointSlices(context.Context, string, string) ([]*discoveryv1.EndpointSlice, error) {
	return w.slices, nil
}

func slice(port string, number int32, ready bool, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Name: &port, Port: &number}}}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	return s
}

func TestOfService(t *testing.T) {
	t.Parallel()
	named := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}}}}
	named.Name = "s"
	for name, c := range map[string]struct {
		world
		port, want, fails string
	}{
		"by number":      {world{named, []*discoveryv1.EndpointSlice{slice("https", 8443, true, "10.0.0.1")}}, "443", "10.0.0.1:8443", ""},
		"by name":        {world{named, []*discoveryv1.EndpointSlice{slice("https", 8443, true, "10.0.0.1")}}, "https", "10.0.0.1:8443", ""},
		"other port":     {world{named, []*discoveryv1.EndpointSlice{slice("http", 8080, true, "10.0.0.1")}}, "https", "", `no endpoints available for service "s"`},
		"not ready":      {world{named, []*discoveryv1.EndpointSlice{slice("https", 8443, false, "10.0.0.1")}}, "443", "", `no endpoints available for service "s"`},
		"no such port":   {world{named, nil}, "444", "", `no service port "444" found for service "s"`},
		"which port":     {world{named, nil}, "", "", `no service port "" found for service "s"`},
		"no service":     {world{nil, nil}, "443", "", `services "s" not found`},
		"not to be used": {world{named, []*discoveryv1.EndpointSlice{slice("https", 8443, true, "127.0.0.1")}}, "443", "", "address not allowed: 127.0.0.1"},
	} {
		got, err := OfService(t.Context(), c.world, "n", "s", c.port)
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: got %v, %v, want %q", name, got, err, c.fails)
			}
		case err != nil || got != netip.MustParseAddrPort(c.want):
			t.Errorf("%s: got %v, %v, want %s", name, got, err, c.want)
		}
	}
}

// TestEveryEndpointIsUsed: calls are spread over all that are ready.
func TestEveryEndpointIsUsed(t *testing.T) {
	t.Parallel()
	w := world{&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}}},
		[]*discoveryv1.EndpointSlice{slice("", 8443, true, "10.0.0.1", "10.0.0.2"), slice("", 8443, true, "10.0.0.3")}}
	seen := map[netip.AddrPort]bool{}
	for range 1000 {
		a, err := OfService(t.Context(), w, "n", "s", "")
		if err != nil {
			t.Fatal(err)
		}
		seen[a] = true
	}
	if len(seen) != 3 {
		t.Errorf("used %v", seen)
	}
}
