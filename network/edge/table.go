package edge

import (
	"crypto/tls"
	"strings"
)

// Kind says which requests of its host a route takes.
type Kind uint8

const (
	// Exact takes one path.
	Exact Kind = iota
	// Prefix takes a path and all below it, element by element.
	Prefix
	// Fallback takes what no path of the host takes. Without a host it takes what
	// nobody else does.
	Fallback
)

// Route leads requests to an action.
type Route struct {
	// Host is a name, a wildcard such as *.example.com, or empty for the hosts
	// that no route names.
	Host string
	Kind Kind
	// Path begins with a slash, and is as it reads when decoded.
	Path   string
	Action Action
}

// Action is what is done with a request.
type Action struct {
	Backend *Backend
	// HTTPS sends clients that came without TLS to the same place with it.
	HTTPS bool
}

// Table says what is done with each request. It is never changed once made.
type Table struct {
	hosts        byHost[*site]
	anyHost      *site
	fallback     *Action
	certificates byHost[*tls.Certificate]
	standard     *tls.Certificate
}

// site is the part of the table for one host.
type site struct {
	exact, prefix map[string]*Action
	// depth is the most elements that a prefix has.
	depth    int
	fallback *Action
}

// NewTable makes a table. Of routes that take the same requests the first holds.
// certificates are by host or wildcard; standard is for all others.
func NewTable(routes []Route, certificates map[string]*tls.Certificate, standard *tls.Certificate) *Table {
	t := &Table{hosts: byHost[*site]{}, certificates: certificates, standard: standard}
	for _, r := range routes {
		if r.Host == "" && r.Kind == Fallback {
			first(&t.fallback, r.Action)
			continue
		}
		t.site(r.Host).add(r)
	}
	return t
}

func first(at **Action, a Action) {
	if *at == nil {
		*at = &a
	}
}

func (t *Table) site(host string) *site {
	s := t.hosts[host]
	if host == "" {
		s = t.anyHost
	}
	if s == nil {
		s = &site{exact: map[string]*Action{}, prefix: map[string]*Action{}}
		if host == "" {
			t.anyHost = s
		} else {
			t.hosts[host] = s
		}
	}
	return s
}

func (s *site) add(r Route) {
	into, key := s.exact, r.Path
	switch r.Kind {
	case Fallback:
		first(&s.fallback, r.Action)
		return
	case Prefix:
		into, key = s.prefix, strings.TrimRight(r.Path, "/")
		s.depth = max(s.depth, strings.Count(key, "/"))
	}
	if into[key] == nil {
		into[key] = &r.Action
	}
}

// Find returns the action for a host and a path, or nil if there is none. The host
// is in lower case, the path canonical.
func (t *Table) Find(host, path string) *Action {
	s, ok := t.hosts.find(host)
	if !ok {
		s = t.anyHost
	}
	if s != nil {
		if a := s.find(path); a != nil {
			return a
		}
		if s.fallback != nil {
			return s.fallback
		}
	}
	return t.fallback
}

func (s *site) find(path string) *Action {
	if a := s.exact[path]; a != nil {
		return a
	}
	// The ends of the first elements, as far as any prefix reaches, however many
	// elements a client may think of.
	ends := make([]int, 1, s.depth+1)
	for i := 1; i <= len(path) && len(ends) <= s.depth; i++ {
		if i == len(path) || path[i] == '/' {
			ends = append(ends, i)
		}
	}
	for i := len(ends) - 1; i >= 0; i-- {
		if a := s.prefix[path[:ends[i]]]; a != nil {
			return a
		}
	}
	return nil
}

// certificate returns the one for a host.
func (t *Table) certificate(host string) *tls.Certificate {
	if c, ok := t.certificates.find(host); ok {
		return c
	}
	return t.standard
}
