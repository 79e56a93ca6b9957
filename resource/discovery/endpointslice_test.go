package discovery

import (
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
	rt "proa/resource/resourcetest"
)

const base = `
metadata: {name: web-1}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], nodeName: n1}]
ports: [{name: http, port: 80}]
`

func TestEndpointSlice(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, EndpointSlice(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "no type", Patch: `addressType: null`, Want: []string{"addressType: Required value"}},
		rt.Verdict{Name: "unknown type", Patch: `addressType: IPX`, Want: []string{
			`addressType: Unsupported value: "IPX": supported values: "FQDN", "IPv4", "IPv6"`,
		}},
		rt.Verdict{Name: "no address", Patch: `endpoints: [{}]`, Want: []string{
			"endpoints[0].addresses: Required value: must contain at least 1 address",
		}},
		rt.Verdict{Name: "not an address", Patch: `endpoints: [{addresses: [x]}]`, Want: []string{
			`endpoints[0].addresses[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
		}},
		rt.Verdict{Name: "leading zeros", Patch: `endpoints: [{addresses: ["010.0.0.1"]}]`, Want: []string{
			`endpoints[0].addresses[0]: Invalid value: "010.0.0.1": must not have leading 0s`,
		}},
		rt.Verdict{Name: "other family", Patch: `endpoints: [{addresses: ["2001:db8::1"]}]`, Want: []string{
			`endpoints[0].addresses: Invalid value: "2001:db8::1": must be an IPv4 address`,
		}},
		rt.Verdict{Name: "ports", Patch: `ports: [{name: UP}, {name: a, protocol: ICMP}, {name: a}]`, Want: []string{
			`ports[0].name: Invalid value: "UP": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
			`ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`,
			`ports[2].name: Duplicate value: "a"`,
		}},
		rt.Verdict{Name: "hints", Patch: `endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: a}, {name: a}, {name: a/b}]}}]`, Want: []string{
			`endpoints[0].hints.forZones[1].name: Duplicate value: "a"`,
			`endpoints[0].hints.forZones[2].name: Invalid value: "a/b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
		}},
		rt.Verdict{Name: "too many addresses", Patch: `endpoints: [{addresses: [` + strings.Repeat("10.0.0.1, ", 101) + `]}]`, Want: []string{
			"endpoints[0].addresses: Too many: 101: must have at most 100 items",
		}},
	)
	rt.UpdateVerdicts(t, EndpointSlice(), base,
		rt.Verdict{Name: "type", Patch: `{addressType: IPv6, endpoints: null}`, Want: []string{
			`addressType: Invalid value: "IPv6": field is immutable`,
		}},
	)
	rt.Columns(t, EndpointSlice(), "Name", "AddressType", "Ports", "Endpoints", "Age")
	rt.Cells(t, EndpointSlice(), base, "web-1", "IPv4", "80", "10.0.0.1", "60m")
	rt.Cells(t, EndpointSlice(), `{metadata: {name: a}, addressType: IPv6}`, "a", "IPv6", "<unset>", "<unset>", "60m")
	rt.Cells(t, EndpointSlice(), `
metadata: {name: a}
addressType: IPv4
endpoints: [{addresses: [a, b]}, {addresses: [c, d, e]}]
ports: [{name: x}, {}]
`, "a", "IPv4", "x,*", "a,b,c + 2 more...", "60m")
}

// CVE-2021-25737: endpoint slices take the same addresses as endpoints.
func TestAddressesOfTheNode(t *testing.T) {
	t.Parallel()
	for address, why := range map[string]string{
		"0.0.0.0":         "may not be unspecified (0.0.0.0)",
		"127.0.0.1":       "may not be in the loopback range (127.0.0.0/8, ::1/128)",
		"169.254.169.254": "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
		"224.0.0.1":       "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
	} {
		rt.Verdicts(t, EndpointSlice(), base, rt.Verdict{Name: address, Patch: `endpoints: [{addresses: [` + address + `]}]`, Want: []string{
			`endpoints[0].addresses[0]: Invalid value: "` + address + `": ` + why,
		}})
	}
	rt.Verdicts(t, EndpointSlice(), base, rt.Verdict{Name: "::1", Patch: `{addressType: IPv6, endpoints: [{addresses: ["::1"]}]}`, Want: []string{
		`endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
	}})
}

func TestEndpointSliceGeneration(t *testing.T) {
	t.Parallel()
	d := EndpointSlice()
	old := rt.Object(t, d, base, "").(*discoveryv1.EndpointSlice)
	req := &resource.Request{Now: metav1.NewTime(rt.Now())}
	for name, c := range map[string]struct {
		change func(*discoveryv1.EndpointSlice)
		want   int64
	}{
		"nothing":     {func(*discoveryv1.EndpointSlice) {}, 1},
		"annotations": {func(s *discoveryv1.EndpointSlice) { s.Annotations = map[string]string{"a": "b"} }, 1},
		"labels":      {func(s *discoveryv1.EndpointSlice) { s.Labels = map[string]string{"a": "b"} }, 2},
		"endpoints":   {func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil }, 2},
	} {
		s := old.DeepCopy()
		c.change(s)
		d.PrepareUpdate(req, s, old)
		if s.Generation != c.want {
			t.Errorf("%s: generation %d, not %d", name, s.Generation, c.want)
		}
	}
}

func TestTopologyBecomesNodeName(t *testing.T) {
	t.Parallel()
	d := EndpointSlice()
	old := rt.Object(t, d, base, "").(*discoveryv1.EndpointSlice)
	old.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, DeprecatedTopology: map[string]string{"kubernetes.io/hostname": "n1"}}}
	s := old.DeepCopy()
	s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.2"}, DeprecatedTopology: map[string]string{"kubernetes.io/hostname": "n2"}})
	d.PrepareUpdate(&resource.Request{}, s, old)
	if n := s.Endpoints[0].NodeName; n == nil || *n != "n1" || s.Endpoints[0].DeprecatedTopology != nil {
		t.Errorf("the known endpoint is on %v, with topology %v", n, s.Endpoints[0].DeprecatedTopology)
	}
	if n := s.Endpoints[1].NodeName; n != nil {
		t.Errorf("the new endpoint is on %s, which only its topology said", *n)
	}
}

func TestEndpointSliceWarnings(t *testing.T) {
	t.Parallel()
	d := EndpointSlice()
	got := d.Warnings(rt.Object(t, d, base, `{addressType: FQDN, endpoints: [{addresses: [a.example.com]}]}`), nil)
	if !slices.Equal(got, []string{"addressType: FQDN endpoints are deprecated"}) {
		t.Errorf("got %q", got)
	}
}
