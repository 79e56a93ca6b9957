package dns

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// DefaultCorefile is the Corefile of a cluster with the given domain, as long as
// nobody writes another one.
func DefaultCorefile(domain string) string {
	return `.:53 {
    errors
    health
    ready
    kubernetes ` + domain + ` in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl ` + strconv.Itoa(defaultTTL) + `
    }
    forward . /etc/resolv.conf {
        policy sequential
    }
    cache
    loop
    reload
    loadbalance
    import ` + customDir + `*.override
}
import ` + customDir + `*.server
`
}

// environment is what a Corefile means things by on this node.
type environment struct {
	source source
	// own is the address that this server answers on.
	own netip.AddrPort
	// resolvers are the name servers of the node: /etc/resolv.conf.
	resolvers []string
	// files are the ConfigMap's other keys, which CoreDNS would find beside its
	// Corefile, and custom those of the ConfigMap coredns-custom.
	files, custom files
	now           func() time.Time
}

// compile makes a view of a Corefile. warnings are of what has no effect here; what
// would change an answer and is not supported is an error.
func compile(text string, env environment) (v *view, warnings []string, err error) {
	parsed, err := parseCorefile(text, env.custom)
	if err != nil {
		return nil, nil, err
	}
	c := &compiler{environment: env}
	v = &view{}
	owner := map[string]bool{}
	for i := range parsed {
		b, err := c.block(&parsed[i])
		if err != nil {
			return nil, nil, err
		}
		for _, z := range b.zones {
			if owner[z] {
				return nil, nil, parsed[i].at.errorf("the zone %s is served by another block already", z)
			}
			owner[z] = true
		}
		v.blocks = append(v.blocks, b)
	}
	if len(v.blocks) == 0 {
		return nil, nil, fmt.Errorf("there is no server block, such as .:53 { … }")
	}
	return v, c.warnings, nil
}

type compiler struct {
	environment
	warnings []string
}

func (c *compiler) warn(d *directive, format string, args ...any) {
	c.warnings = append(c.warnings, d.errorf(format, args...).Error())
}

func (c *compiler) block(d *directive) (*block, error) {
	b := &block{}
	for _, key := range d.words {
		z, err := zoneOf(key)
		if err != nil {
			return nil, d.at.errorf("%s: %v", key, err)
		}
		b.zones = append(b.zones, z)
	}
	var kept *directive
	for i := range d.body {
		d := &d.body[i]
		if d.words[0] == "cache" {
			kept = d
			continue
		}
		if err := c.directive(b, d); err != nil {
			return nil, err
		}
	}
	if kept != nil {
		return b, c.cache(b, kept)
	}
	return b, nil
}

// zoneOf reads the address of a server block, such as example.org:53.
func zoneOf(key string) (string, error) {
	rest, ok := strings.CutPrefix(key, "dns://")
	if !ok && strings.Contains(key, "://") {
		return "", fmt.Errorf("only plain DNS is served")
	}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		if port != "53" {
			return "", fmt.Errorf("only port 53 is served")
		}
		rest = host
	}
	return zone(rest)
}

// zone is a name as zones are compared.
func zone(s string) (string, error) {
	if s == "" {
		s = "."
	}
	if strings.ContainsAny(s, "/:{}$") || !valid(s) {
		return "", fmt.Errorf("%q is no domain", s)
	}
	return dns.CanonicalName(s), nil
}

func zones(d *directive, words []string) ([]string, error) {
	var out []string
	for _, w := range words {
		z, err := zone(w)
		if err != nil {
			return nil, d.errorf("%v", err)
		}
		out = append(out, z)
	}
	return out, nil
}

// idle are directives that change no answer here: what they turn on is always on, or
// is about the process of CoreDNS.
var idle = map[string]bool{
	"errors": true, "health": true, "ready": true, "loop": true, "reload": true, "loadbalance": true,
	"prometheus": true, "pprof": true, "debug": true, "bufsize": true, "cancel": true, "metadata": true, "minimal": true, "trace": true,
}

func (c *compiler) directive(b *block, d *directive) (err error) {
	switch name := d.words[0]; name {
	case "log":
		b.log = true
	case "kubernetes":
		err = c.kubernetes(b, d)
	case "forward":
		err = c.forward(b, d)
	case "hosts":
		err = c.hosts(b, d)
	case "rewrite":
		err = c.rewrite(b, d)
	default:
		if !idle[name] {
			return d.errorf("is not supported here")
		}
	}
	return err
}

func (c *compiler) kubernetes(b *block, d *directive) error {
	all, err := zones(d, d.words[1:])
	if err != nil {
		return err
	}
	if len(all) == 0 {
		all = b.zones
	}
	k := &cluster{}
	ttl, pods := uint32(defaultTTL), false
	for i := range d.body {
		o := &d.body[i]
		switch o.words[0] {
		case "pods":
			// The default of CoreDNS.
			switch mode := strings.Join(o.words[1:], " "); mode {
			case "disabled":
			case "insecure":
				pods = true
			default:
				return o.errorf("%q is not supported here; disabled and insecure are", mode)
			}
		case "fallthrough":
			if k.through, err = fallsThrough(o); err != nil {
				return err
			}
		case "ttl":
			if ttl, err = ttlOf(o); err != nil {
				return err
			}
		case "endpoint_pod_names", "ignore", "noendpoints", "namespaces", "namespace_labels", "labels", "endpoint", "tls", "kubeconfig":
			return o.errorf("is not supported here")
		default:
			return o.errorf("is no option of kubernetes")
		}
	}
	for _, z := range all {
		if dns.IsSubDomain("arpa.", z) {
			k.reverse = append(k.reverse, z)
			continue
		}
		k.zones = append(k.zones, &Zone{domain: z, source: c.source, ttl: ttl, pods: pods})
	}
	if len(k.zones) == 0 {
		return d.errorf("names no domain of the cluster")
	}
	b.clusters = append(b.clusters, k)
	return nil
}

func fallsThrough(d *directive) (through, error) {
	z, err := zones(d, d.words[1:])
	return through{on: true, zones: z}, err
}

// maxTTL is that of CoreDNS.
const maxTTL = 3600

func ttlOf(d *directive) (uint32, error) {
	if len(d.words) == 2 {
		if n, err := strconv.ParseUint(d.words[1], 10, 16); err == nil && n <= maxTTL {
			return uint32(n), nil
		}
	}
	return 0, d.errorf("must be seconds between 0 and %d", maxTTL)
}

func (c *compiler) hosts(b *block, d *directive) error {
	h := &hosts{names: map[string][]netip.Addr{}, reverse: map[netip.Addr][]string{}, ttl: maxTTL}
	args := d.words[1:]
	var file string
	if len(args) > 0 && strings.Contains(args[0], "/") {
		name := args[0][strings.LastIndex(args[0], "/")+1:]
		text, ok := c.files[name]
		if !ok {
			return d.errorf("%s: of files only those can be read that are other keys of the ConfigMap; write the names into the block", args[0])
		}
		file, args = text, args[1:]
	}
	var err error
	if h.zones, err = zones(d, args); err != nil {
		return err
	}
	reverse := true
	var entries []*directive
	for i := range d.body {
		o := &d.body[i]
		switch o.words[0] {
		case "ttl":
			if h.ttl, err = ttlOf(o); err != nil {
				return err
			}
		case "no_reverse":
			reverse = false
		case "reload":
		case "fallthrough":
			if h.through, err = fallsThrough(o); err != nil {
				return err
			}
		default:
			entries = append(entries, o)
		}
	}
	for line := range strings.Lines(file) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			h.add(words, reverse) // as every reader of such files, it passes over what is none
		}
	}
	for _, o := range entries {
		if !h.add(o.words, reverse) {
			return o.errorf("is neither an option of hosts nor an address with its names")
		}
	}
	b.hosts = append(b.hosts, h)
	return nil
}

func (c *compiler) rewrite(b *block, d *directive) error {
	r := rewrite{kind: "exact"}
	words := d.words[1:]
	if len(words) == 0 && len(d.body) > 0 { // the long form
		words = d.body[0].words
		for i := range d.body[1:] {
			if o := &d.body[1+i]; o.words[0] != "answer" {
				return o.errorf("is not supported here in a rewrite")
			}
		}
	}
	for len(words) > 0 && (words[0] == "stop" || words[0] == "continue") {
		r.goOn = words[0] == "continue"
		words = words[1:]
	}
	if len(words) == 0 && len(d.body) > 0 {
		words = d.body[0].words
	}
	if len(words) < 3 || words[0] != "name" {
		return d.errorf("only names can be rewritten here: rewrite name [exact|prefix|suffix|substring|regex] FROM TO")
	}
	words = words[1:]
	switch words[0] {
	case "exact", "prefix", "suffix", "substring", "regex":
		r.kind = words[0]
		words = words[1:]
	}
	if len(words) < 2 || len(words) > 2 && words[2] != "answer" {
		return d.errorf("must be: rewrite name [exact|prefix|suffix|substring|regex] FROM TO")
	}
	r.from, r.to = strings.ToLower(words[0]), strings.ToLower(words[1])
	switch r.kind {
	case "exact", "suffix":
		r.from, r.to = dns.Fqdn(r.from), dns.Fqdn(r.to)
	case "regex":
		var err error
		if r.pattern, err = regexp.Compile(words[0]); err != nil {
			return d.errorf("%v", err)
		}
		r.to = words[1]
	}
	b.rewrites = append(b.rewrites, r)
	return nil
}
