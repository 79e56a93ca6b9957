package ingress

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"proa/network/edge"
)

// made reads Ingresses as a user writes them: name and spec. Each is younger than the
// one before it.
func made(t *testing.T, manifests ...string) []*networkingv1.Ingress {
	t.Helper()
	var all []*networkingv1.Ingress
	for i, m := range manifests {
		in := &networkingv1.Ingress{}
		if err := yaml.UnmarshalStrict([]byte(m), in); err != nil {
			t.Fatal(err)
		}
		in.Namespace, in.UID = "default", types.UID(in.Name)
		in.CreationTimestamp = metav1.Unix(int64(i), 0)
		all = append(all, in)
	}
	return all
}

// TestCompile: what requests find, for Ingresses as users write them.
func TestCompile(t *testing.T) {
	t.Parallel()
	const web = `
metadata: {name: web}
spec:
  rules:
  - host: Shop.example
    http:
      paths:
      - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}
      - {path: /api/v1, pathType: Exact, backend: {service: {name: exact, port: {number: 80}}}}
      - {path: /old, pathType: ImplementationSpecific, backend: {service: {name: old, port: {name: web}}}}
`
	for name, c := range map[string]struct {
		ingresses []string
		want      map[string]string
		problems  map[string]string
	}{
		"paths": {ingresses: []string{web}, want: map[string]string{
			"shop.example/api": "api:80", "shop.example/api/x": "api:80", "shop.example/api/v1": "exact:80", "shop.example/old/x": "old:web",
			"shop.example/": "none", "other/api": "none",
		}},
		"the default backend is for the Ingress's hosts and for nobody's": {ingresses: []string{web, `
metadata: {name: rest}
spec:
  defaultBackend: {service: {name: rest, port: {number: 1}}}
  rules:
  - host: mine.example
    http: {paths: [{path: /x, pathType: Prefix, backend: {service: {name: x, port: {number: 2}}}}]}
  - host: bare.example
`, `
metadata: {name: later}
spec: {defaultBackend: {service: {name: later, port: {number: 3}}}}
`}, want: map[string]string{
			"mine.example/x": "x:2", "mine.example/y": "rest:1", "bare.example/": "rest:1", "else.example/": "rest:1", "shop.example/": "rest:1",
		}},
		"the older has the path": {ingresses: []string{web, `
metadata: {name: thief}
spec:
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /api, pathType: Prefix, backend: {service: {name: thief, port: {number: 80}}}}
      - {path: /, pathType: Prefix, backend: {service: {name: root, port: {number: 80}}}}
`}, want: map[string]string{"shop.example/api": "api:80", "shop.example/else": "root:80"}},
		"TLS": {ingresses: []string{`
metadata: {name: secure}
spec:
  tls: [{hosts: [a.example, "*.wild.example"], secretName: good}]
  rules:
  - {host: a.example, http: &all {paths: [{pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}]}}
  - {host: b.wild.example, http: *all}
  - {host: plain.example, http: *all}
`, `
metadata: {name: lax, annotations: {proa.dev/ssl-redirect: "false"}}
spec:
  tls: [{hosts: [lax.example], secretName: missing}]
  rules: [{host: lax.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`, `
metadata: {name: every}
spec:
  tls: [{secretName: good}]
  rules: [{host: c.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`, `
metadata: {name: solver}
spec:
  rules: [{host: a.example, http: {paths: [{path: /.well-known/acme-challenge/t, pathType: Exact, backend: {service: {name: solver, port: {number: 80}}}}]}}]
`}, want: map[string]string{
			"a.example/": "web:80 https", "b.wild.example/": "web:80 https", "plain.example/": "web:80", "lax.example/": "web:80", "c.example/": "web:80 https",
			"a.example/.well-known/acme-challenge/t": "solver:80",
		}, problems: map[string]string{"lax": "the default certificate is used in place of Secret missing: it is not there"}},
		"what cannot be served": {ingresses: []string{`
metadata: {name: bucket}
spec: {defaultBackend: {resource: {apiGroup: k8s.example.com, kind: Bucket, name: b}}}
`, `
metadata: {name: absent}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: absent, port: {number: 80}}}}]}}]}
`}, want: map[string]string{"x/": "absent:80"}, problems: map[string]string{
			"bucket": "a backend that is no service is not served", "absent": `there is no service "absent"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := &tls.Certificate{}
			backends, names := map[ref]*edge.Backend{}, map[*edge.Backend]string{}
			all := made(t, c.ingresses...)
			slices.Reverse(all) // the order of a list says nothing
			p := compile(all, world{tls: true, nothing: edge.NewBackend("nothing"),
				certificate: func(n types.NamespacedName) (*tls.Certificate, error) {
					if n.Name != "good" {
						return nil, errors.New("it is not there")
					}
					return good, nil
				},
				backend: func(r ref) (*edge.Backend, string) {
					if backends[r] == nil {
						backends[r] = edge.NewBackend("")
						names[backends[r]] = strings.TrimPrefix(r.String(), "default/")
					}
					if r.service.Name == "absent" {
						return backends[r], `there is no service "absent"`
					}
					return backends[r], ""
				}})
			table := edge.NewTable(p.routes, p.certificates, nil)
			for asked, want := range c.want {
				host, path, _ := strings.Cut(asked, "/")
				got := "none"
				if a := table.Find(host, "/"+path); a != nil {
					if got = names[a.Backend]; a.HTTPS {
						got += " https"
					}
				}
				if got != want {
					t.Errorf("%s finds %s, want %s", asked, got, want)
				}
			}
			for uid, list := range p.problems {
				if got := strings.Join(list, "; "); got != c.problems[string(uid)] {
					t.Errorf("%s: %s", uid, got)
				}
			}
			if len(p.problems) != len(c.problems) {
				t.Errorf("problems %v, want %v", p.problems, c.problems)
			}
			if name == "TLS" {
				for _, h := range []string{"a.example", "*.wild.example", "c.example"} {
					if p.certificates[h] != good {
						t.Errorf("%s has no certificate", h)
					}
				}
				if len(p.certificates) != 3 {
					t.Errorf("certificates for %v", p.certificates)
				}
			}
		})
	}
}

func TestOurs(t *testing.T) {
	t.Parallel()
	class := func(name, controller string) *networkingv1.IngressClass {
		return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
	}
	classes := Classes([]*networkingv1.IngressClass{class("proa", Controller), class("mine", Controller), class("nginx", "k8s.io/ingress-nginx")})
	for _, c := range []struct {
		name *string
		old  string
		want bool
	}{
		{ptr.To("proa"), "", true}, {ptr.To("mine"), "", true}, {ptr.To("nginx"), "", false}, {ptr.To("absent"), "", false},
		{nil, "proa", true}, {nil, "nginx", false}, {nil, "", false}, {ptr.To("nginx"), "proa", false},
	} {
		in := &networkingv1.Ingress{Spec: networkingv1.IngressSpec{IngressClassName: c.name}}
		if c.old != "" {
			in.Annotations = map[string]string{oldClass: c.old}
		}
		if Ours(in, classes) != c.want {
			t.Errorf("%q %q: want %t", ptr.Deref(c.name, ""), c.old, c.want)
		}
	}
}

// oldest is by time, then by name, whatever the order of the list.
func TestOldestFirst(t *testing.T) {
	t.Parallel()
	in := func(ns, name string, s int64) *networkingv1.Ingress {
		return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(s, 0))}}
	}
	got := ""
	for _, x := range oldestFirst([]*networkingv1.Ingress{in("b", "a", 2), in("a", "b", 2), in("z", "z", 1), in("a", "a", 2)}) {
		got += fmt.Sprint(x.Namespace, x.Name, " ")
	}
	if got != "zz aa ab ba " {
		t.Error(got)
	}
}
