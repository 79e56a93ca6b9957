package ingress

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/network/edge"
)

// ref names a port of a service.
type ref struct {
	service types.NamespacedName
	port    networkingv1.ServiceBackendPort
}

func (r ref) String() string {
	port := r.port.Name
	if port == "" {
		port = fmt.Sprint(r.port.Number)
	}
	return r.service.String() + ":" + port
}

// world is what compile asks for beside the Ingresses.
type world struct {
	// certificate of a Secret.
	certificate func(types.NamespacedName) (*tls.Certificate, error)
	// backend of a service, and what is wrong with it, or "".
	backend func(ref) (*edge.Backend, string)
	// nothing is a backend without endpoints.
	nothing *edge.Backend
	// tls tells whether the node serves TLS at all.
	tls bool
}

// plan is what compile makes of the Ingresses.
type plan struct {
	routes       []edge.Route
	certificates map[string]*tls.Certificate
	// problems of each Ingress that has any, in words.
	problems map[types.UID][]string
}

// compile makes a plan for all Ingresses that are served here.
func compile(all []*networkingv1.Ingress, w world) plan {
	p := plan{certificates: map[string]*tls.Certificate{}, problems: map[types.UID][]string{}}
	all = oldestFirst(all)
	for _, in := range all {
		c := compiler{world: w, plan: &p, in: in}
		c.tls()
		c.rules()
	}
	return p
}

func oldestFirst(all []*networkingv1.Ingress) []*networkingv1.Ingress {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// compiler works on one Ingress.
type compiler struct {
	world
	plan *plan
	in   *networkingv1.Ingress
	// secured are the hosts with TLS; "" for all that the Ingress names.
	secured map[string]bool
}

func (c *compiler) problem(format string, args ...any) {
	c.plan.problems[c.in.UID] = append(c.plan.problems[c.in.UID], fmt.Sprintf(format, args...))
}

func (c *compiler) tls() {
	c.secured = map[string]bool{}
	for _, t := range c.in.Spec.TLS {
		hosts := t.Hosts
		if len(hosts) == 0 {
			c.secured[""] = true
			for _, r := range c.in.Spec.Rules {
				hosts = append(hosts, r.Host)
			}
		}
		for _, h := range hosts {
			c.secured[strings.ToLower(h)] = true
		}
		if t.SecretName == "" {
			continue
		}
		cert, err := c.certificate(types.NamespacedName{Namespace: c.in.Namespace, Name: t.SecretName})
		if err != nil {
			c.problem("the default certificate is used in place of Secret %s: %v", t.SecretName, err)
			continue
		}
		for _, h := range hosts {
			if h = strings.ToLower(h); h != "" && c.plan.certificates[h] == nil {
				c.plan.certificates[h] = cert
			}
		}
	}
}

// redirects tells whether clients of a host are sent to TLS.
func (c *compiler) redirects(host string) bool {
	if !c.world.tls || c.in.Annotations[Redirect] == "false" {
		return false
	}
	_, rest, _ := strings.Cut(host, ".")
	return c.secured[""] || c.secured[host] || host != "" && c.secured["*."+rest]
}

func (c *compiler) rules() {
	fallback := c.in.Spec.DefaultBackend
	for _, rule := range c.in.Spec.Rules {
		host := strings.ToLower(rule.Host)
		if rule.HTTP != nil {
			for i := range rule.HTTP.Paths {
				c.path(host, &rule.HTTP.Paths[i])
			}
		}
		if fallback != nil && host != "" {
			c.add(edge.Route{Host: host, Kind: edge.Fallback}, fallback)
		}
	}
	if fallback != nil {
		c.add(edge.Route{Kind: edge.Fallback}, fallback)
	}
}

func (c *compiler) path(host string, p *networkingv1.HTTPIngressPath) {
	r := edge.Route{Host: host, Kind: edge.Prefix, Path: cmp.Or(p.Path, "/")}
	if p.PathType != nil && *p.PathType == networkingv1.PathTypeExact {
		r.Kind = edge.Exact
	}
	c.add(r, &p.Backend)
}

func (c *compiler) add(r edge.Route, to *networkingv1.IngressBackend) {
	r.Action = edge.Action{Backend: c.nothing, HTTPS: c.redirects(r.Host)}
	if to.Service == nil {
		c.problem("a backend that is no service is not served")
	} else {
		b, wrong := c.backend(refOf(c.in, to.Service))
		if wrong != "" {
			c.problem("%s", wrong)
		}
		r.Action.Backend = b
	}
	c.plan.routes = append(c.plan.routes, r)
}

func refOf(in *networkingv1.Ingress, s *networkingv1.IngressServiceBackend) ref {
	return ref{types.NamespacedName{Namespace: in.Namespace, Name: s.Name}, s.Port}
}

// references are the services and secrets that Ingresses name.
func references(all []*networkingv1.Ingress) (services, secrets map[types.NamespacedName]bool) {
	services, secrets = map[types.NamespacedName]bool{}, map[types.NamespacedName]bool{}
	for _, in := range all {
		add := func(b *networkingv1.IngressBackend) {
			if b != nil && b.Service != nil {
				services[refOf(in, b.Service).service] = true
			}
		}
		add(in.Spec.DefaultBackend)
		for _, r := range in.Spec.Rules {
			if r.HTTP == nil {
				continue
			}
			for i := range r.HTTP.Paths {
				add(&r.HTTP.Paths[i].Backend)
			}
		}
		for _, t := range in.Spec.TLS {
			secrets[types.NamespacedName{Namespace: in.Namespace, Name: t.SecretName}] = true
		}
	}
	return services, secrets
}
