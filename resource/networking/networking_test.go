package networking

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func TestIngress(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: web}
spec:
  ingressClassName: nginx
  rules:
  - host: example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`
	path := func(path string) string {
		return `spec: {rules: [{http: {paths: [{path: "` + path + `", pathType: Exact, backend: {service: {name: web, port: {name: http}}}}]}}]}`
	}
	rt.Verdicts(t, Ingress(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "nothing", Patch: `spec: {rules: null}`, Want: []string{
			"spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
		}},
		rt.Verdict{Name: "address as host", Patch: `spec: {rules: [{host: 10.0.0.1}]}`, Want: []string{
			`spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`,
		}},
		rt.Verdict{Name: "no path type", Patch: `spec: {rules: [{http: {paths: [{backend: {}}]}}]}`, Want: []string{
			"spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
		}},
		rt.Verdict{Name: "dots", Patch: path("/a/../b/."), Want: []string{
			`spec.rules[0].http.paths[0].path: Invalid value: "/a/../b/.": must not contain '/../'`,
			`spec.rules[0].http.paths[0].path: Invalid value: "/a/../b/.": cannot end with '/.'`,
		}},
		rt.Verdict{Name: "relative", Patch: path("a"), Want: []string{
			`spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path`,
		}},
		rt.Verdict{Name: "backends", Patch: `spec: {defaultBackend: {}}`, Want: []string{
			`spec.defaultBackend: Invalid value: "": resource or service backend is required`,
		}},
		rt.Verdict{Name: "port", Patch: `spec: {defaultBackend: {service: {name: web}}}`, Want: []string{
			"spec.defaultBackend: Required value: port name or number is required",
		}},
		rt.Verdict{Name: "two classes", Patch: `metadata: {annotations: {kubernetes.io/ingress.class: other}}`, Want: []string{
			"annotations.kubernetes.io/ingress.class: Invalid value: \"other\": must match `ingressClassName` when both are specified",
		}},
	)
	rt.SubresourceVerdicts(t, Ingress(), "status", base,
		rt.Verdict{Name: "address", Patch: `status: {loadBalancer: {ingress: [{ip: 10.0.0.1}, {hostname: 10.0.0.1}, {ip: "010.0.0.1"}]}}`, Want: []string{
			`status.loadBalancer.ingress[1].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`,
			`status.loadBalancer.ingress[2].ip: Invalid value: "010.0.0.1": must not have leading 0s`,
		}})
	rt.Columns(t, Ingress(), "Name", "Class", "Hosts", "Address", "Ports", "Age")
	rt.Cells(t, Ingress(), base, "web", "nginx", "example.com", "", "80", "60m")
	rt.Cells(t, Ingress(), `
metadata: {name: web}
spec: {tls: [{}], rules: [{host: a}, {host: b}, {host: c}, {host: d}]}
status: {loadBalancer: {ingress: [{hostname: z}, {ip: 10.0.0.1}]}}
`, "web", "<none>", "a,b,c + 1 more...", "10.0.0.1,z", "80, 443", "60m")
}

func TestIngressClass(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: nginx}, spec: {controller: example.com/nginx, parameters: {kind: Config, name: x}}}`
	rt.Verdicts(t, IngressClass(), base,
		rt.Verdict{Name: "cluster scope by default"},
		rt.Verdict{Name: "namespace", Patch: `spec: {parameters: {scope: Namespace}}`, Want: []string{
			"spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
		}},
		rt.Verdict{Name: "scope", Patch: `spec: {parameters: {scope: World}}`, Want: []string{
			`spec.parameters.scope: Unsupported value: "World": supported values: "Cluster", "Namespace"`,
		}},
	)
	rt.UpdateVerdicts(t, IngressClass(), base, rt.Verdict{Name: "controller", Patch: `spec: {controller: example.com/other}`, Want: []string{
		`spec.controller: Invalid value: "example.com/other": field is immutable`,
	}})
	rt.Columns(t, IngressClass(), "Name", "Controller", "Parameters", "Age")
	rt.Cells(t, IngressClass(), `{metadata: {name: a}, spec: {controller: c, parameters: {apiGroup: g, kind: K, name: x}}}`, "a", "c", "K.g/x", "60m")
}

func TestNetworkPolicy(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: deny}, spec: {podSelector: {}}}`
	rt.Verdicts(t, NetworkPolicy(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "nobody", Patch: `spec: {ingress: [{from: [{}]}]}`, Want: []string{"spec.ingress[0].from[0]: Required value: must specify a peer"}},
		rt.Verdict{Name: "block and pods", Patch: `spec: {egress: [{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}`, Want: []string{
			"spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
		}},
		rt.Verdict{Name: "blocks", Patch: `spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}`, Want: []string{
			`spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length`,
			"spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
		}},
		rt.Verdict{Name: "ports", Patch: `spec: {ingress: [{ports: [{port: 80, endPort: 79}, {port: http, endPort: 80}, {endPort: 80}, {port: 0}]}]}`, Want: []string{
			"spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
			"spec.ingress[0].ports[1].endPort: Invalid value: 80: may not be specified when `port` is non-numeric",
			"spec.ingress[0].ports[2].endPort: Invalid value: 80: may not be specified when `port` is not specified",
			"spec.ingress[0].ports[3].port: Invalid value: 0: must be between 1 and 65535, inclusive",
		}},
		rt.Verdict{Name: "types", Patch: `spec: {policyTypes: [Sideways]}`, Want: []string{
			`spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"`,
		}},
	)
	rt.Columns(t, NetworkPolicy(), "Name", "Pod-Selector", "Age")
	rt.Cells(t, NetworkPolicy(), base, "deny", "<none>", "60m")
}

func TestServiceCIDR(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: a}, spec: {cidrs: [10.44.0.0/24]}}`
	rt.Verdicts(t, ServiceCIDR(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "both families", Patch: `spec: {cidrs: ["fd00::/112", 10.44.0.0/24]}`},
		rt.Verdict{Name: "none", Patch: `spec: null`, Want: []string{"spec.cidrs: Required value: at least one CIDR required"}},
		rt.Verdict{Name: "many", Patch: `spec: {cidrs: [10.44.0.0/24, 10.45.0.0/24, 10.46.0.0/24]}`, Want: []string{
			`spec.cidrs: Invalid value: {"CIDRs":["10.44.0.0/24","10.45.0.0/24","10.46.0.0/24"]}: may only hold up to 2 values`,
		}},
		rt.Verdict{Name: "one family twice", Patch: `spec: {cidrs: [10.44.0.0/24, 10.45.0.1/24]}`, Want: []string{
			`spec.cidrs[1]: Invalid value: "10.45.0.1/24": must not have bits set beyond the prefix length`,
			`spec.cidrs: Invalid value: ["10.44.0.0/24","10.45.0.1/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64`,
		}},
	)
	rt.UpdateVerdicts(t, ServiceCIDR(), base,
		rt.Verdict{Name: "second family", Patch: `spec: {cidrs: [10.44.0.0/24, "fd00::/112"]}`},
		rt.Verdict{Name: "moved", Patch: `spec: {cidrs: [10.45.0.0/24]}`, Want: []string{
			`spec.cidrs[0]: Invalid value: "10.45.0.0/24": field is immutable`,
		}},
		rt.Verdict{Name: "none left", Patch: `spec: {cidrs: []}`, Want: []string{`spec.cidrs: Invalid value: []: field is immutable`}},
	)
	rt.Columns(t, ServiceCIDR(), "Name", "CIDRs", "Age")
	rt.Cells(t, ServiceCIDR(), `{metadata: {name: a}, spec: {cidrs: [10.44.0.0/24, "fd00::/112"]}}`, "a", "10.44.0.0/24,fd00::/112", "60m")
}
