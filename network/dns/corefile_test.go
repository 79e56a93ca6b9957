package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// flat shows what was read, a directive in parentheses.
func flat(all []directive) string {
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintf(&b, "(%s", strings.Join(d.words, " "))
		if len(d.body) > 0 {
			fmt.Fprintf(&b, " %s", flat(d.body))
		}
		b.WriteString(")")
	}
	return b.String()
}

func TestParse(t *testing.T) {
	t.Parallel()
	more := files{"b.override": "log\n# nothing\nerrors", "a.override": "cache 30", "x.server": "example.org {\n forward . 10.0.0.1\n}", "bad.one": `"`}
	for in, want := range map[string]string{
		"":                              "",
		". {\n}":                        "(.)",
		".:53 {\n a b {\n c\n }\n d\n}": "(.:53 (a b (c))(d))",
		"a b, c,\nd {\n x\n}":           "(a b c d (x))",
		". { # comment {\n x # y\n}":    "(. (x))",
		". {\n x \"a b\" \"c\\\"}\"\n}": `(. (x a b c"}))`,
		"(s) {\n log\n a {\n b\n }\n}\n. {\n import s\n x\n import s\n}":                          "(. (log)(a (b))(x)(log)(a (b)))",
		". {\n import /etc/coredns/custom/*.override\n x\n}\nimport /etc/coredns/custom/*.server": "(. (cache 30)(log)(errors)(x))(example.org (forward . 10.0.0.1))",
		". {\n import custom/none*\n}":                     "(.)",
		". {\n import /etc/shadow\n}":                      "line 2: import /etc/shadow: there is no such snippet, and of files only those of the ConfigMap coredns-custom can be imported, as /etc/coredns/custom/*",
		". {\n import /etc/coredns/custom/../../shadow\n}": "(.)",
		". {\n import custom/bad*\n}":                      "line 2: import custom/bad*: bad.one, line 1: a quote is not closed",
		". {\n import\n}":                                  "line 2: import: what?",
		".":                                                "line 1: a server block is its addresses, and then { and directives and }",
		". {\n x":                                          "line 1: a brace is not closed",
		". {\n {\n}":                                       "line 2: a brace opens nothing",
		"}":                                                "line 1: a server block is its addresses, and then { and directives and }",
		"\n\"x":                                            "line 2: a quote is not closed",
		"(s) {\n import s\n}\nimport s":                    "line 2: import: there is too much of it",
		strings.Repeat("x ", maxTokens+1):                  "line 1: there are more than 20000 words",
	} {
		all, err := parseCorefile(in, more)
		got := flat(all)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.80q: %s, want %s", in, got, want)
		}
	}
}

// FuzzCompile: whatever a Corefile is, it is a view or an error.
func FuzzCompile(f *testing.F) {
	f.Add(DefaultCorefile("cluster.local"))
	f.Add("(a) {\n import a\n}\n. {\n hosts {\n 1.2.3.4 x\n }\n rewrite name regex (.*) {1}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		v, _, err := compile(text, environment{now: time.Now, custom: files{"a.server": text}})
		if err == nil {
			v.find("example.org.").rewritten("example.org.")
		}
	})
}

// TestCompileSays: what is wrong with a Corefile, and what has no effect.
func TestCompileSays(t *testing.T) {
	t.Parallel()
	in := func(lines ...string) string { return ". {\n" + strings.Join(lines, "\n") + "\n}" }
	for text, want := range map[string]string{
		DefaultCorefile("cluster.local"): "",
		in("errors", "health {\nlameduck 5s\n}", "ready", "prometheus :9153", "loop", "reload", "loadbalance round_robin", "log", "cache 30"): "",
		in("forward . 1.1.1.1 tls://9.9.9.9"):                       "line 2: forward: tls://9.9.9.9: only plain DNS is spoken to others",
		in("forward . example.org"):                                 "line 2: forward: example.org: must be an address, with a port or without, or /etc/resolv.conf",
		in("forward ."):                                             "line 2: forward: must be: forward FROM TO...",
		in("forward . 10.43.0.10"):                                  "line 2: forward: 10.43.0.10: is this server itself",
		in("forward . 1.1.1.1 {", "max_fails 3", "expire 10s", "}"): "warning: line 3: max_fails: has no effect here; line 4: expire: has no effect here",
		in("forward . 1.1.1.1 {", "policy best", "}"):               "line 3: policy: must be random, round_robin or sequential",
		in("cache 30 {", "serve_stale", "}"):                        "warning: line 3: serve_stale: has no effect here",
		in("cache -1"):                                              "line 2: cache: must be seconds, 1 at least",
		in("template IN A x {", "}"):                                "line 2: template: is not supported here",
		in("kubernetes cluster.local {", "pods verified", "}"):      `line 3: pods: "verified" is not supported here; disabled and insecure are`,
		in("kubernetes cluster.local {", "ttl 3601", "}"):           "line 3: ttl: must be seconds between 0 and 3600",
		in("kubernetes cluster.local {", "nonsense", "}"):           "line 3: nonsense: is no option of kubernetes",
		in("kubernetes in-addr.arpa"):                               "line 2: kubernetes: names no domain of the cluster",
		in("hosts /etc/passwd"):                                     "line 2: hosts: /etc/passwd: of files only those can be read that are other keys of the ConfigMap; write the names into the block",
		in("hosts {", "x 1.2.3.4", "}"):                             "line 3: x: is neither an option of hosts nor an address with its names",
		in("rewrite type A AAAA"):                                   "line 2: rewrite: only names can be rewritten here: rewrite name [exact|prefix|suffix|substring|regex] FROM TO",
		in("rewrite name regex ( x"):                                "line 2: rewrite: error parsing regexp: missing closing ): `(`",
		".:5353 {\n}":                                               "line 1: .:5353: only port 53 is served",
		"https://. {\n}":                                            "line 1: https://.: only plain DNS is served",
		". {\n}\n.:53 {\n}":                                         "line 3: the zone . is served by another block already",
		"":                                                          "there is no server block, such as .:53 { … }",
	} {
		_, warnings, err := compile(text, environment{own: netip.MustParseAddrPort("10.43.0.10:53"), resolvers: []string{"192.0.2.1"}, now: time.Now})
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case len(warnings) > 0:
			got = "warning: " + strings.Join(warnings, "; ")
		}
		if got != want {
			t.Errorf("%s\nsays %s\nwant %s", text, got, want)
		}
	}
}

// answers is a name server that answers every A with the same address, and counts.
func answers(t *testing.T, last byte) (address string, asked func() []string) {
	t.Helper()
	names := make(chan string, 100)
	at := listen(t, dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		names <- q.Question[0].Name
		m.Answer = append(m.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: []byte{9, 9, 9, last}})
		_ = w.WriteMsg(m)
	}))
	return at, func() []string {
		var out []string
		for len(names) > 0 {
			out = append(out, <-names)
		}
		return out
	}
}

// TestCorefile: what questions find by a Corefile as users write them.
func TestCorefile(t *testing.T) {
	t.Parallel()
	one, asked := answers(t, 1)
	two, _ := answers(t, 2)
	s := newServer(t)
	v, warnings, err := compile(`
example.org sub.example.net {
    forward . `+two+`
}
.:53 {
    rewrite name alias.example web.shop.svc.cluster.local
    rewrite name suffix .internal.example .shop.svc.cluster.local
    rewrite name regex (.*)\.by\.(.*)\.example {1}.{2}.svc.cluster.local answer auto
    hosts /etc/coredns/NodeHosts {
        10.1.1.1 own.example other.example
        fd00::1 own.example
        ttl 17
        fallthrough
    }
    hosts mine.example {
        10.1.1.2 a.mine.example
    }
    kubernetes cluster.local in-addr.arpa {
        pods disabled
        ttl 30
        fallthrough in-addr.arpa
    }
    forward blocked.example 192.0.2.1 {
        except ok.blocked.example
        max_concurrent 5
    }
    forward . `+one+` {
        except nowhere.example
        policy sequential
    }
    cache 30
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
`, environment{
		source: s.source, now: time.Now, files: files{"NodeHosts": "10.1.1.3 node-1 # a comment\n"},
		custom: files{"x.server": "custom.example {\n hosts {\n 10.1.1.4 custom.example\n }\n}"},
	})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	s.view.Store(v)
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"web.shop.svc.cluster.local.", dns.TypeA, "A 10.43.0.7"},
		{"Alias.Example.", dns.TypeA, "A 10.43.0.7"},
		{"web.internal.example.", dns.TypeA, "A 10.43.0.7"},
		{"web.by.shop.example.", dns.TypeA, "A 10.43.0.7"},
		{"no.internal.example.", dns.TypeA, "NXDOMAIN"},
		{"1-2-3-4.shop.pod.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"own.example.", dns.TypeA, "A 10.1.1.1"},
		{"own.example.", dns.TypeAAAA, "AAAA fd00::1"},
		{"own.example.", dns.TypeMX, ""},
		{"node-1.", dns.TypeA, "A 10.1.1.3"},
		{"1.1.1.10.in-addr.arpa.", dns.TypePTR, "PTR other.example., PTR own.example."},
		{"7.0.43.10.in-addr.arpa.", dns.TypePTR, "PTR web.shop.svc.cluster.local."},
		{"8.8.8.8.in-addr.arpa.", dns.TypeA, "A 9.9.9.1"},
		{"a.mine.example.", dns.TypeA, "A 10.1.1.2"},
		{"b.mine.example.", dns.TypeA, "SERVFAIL"},
		{"else.example.", dns.TypeA, "A 9.9.9.1"},
		{"ok.blocked.example.", dns.TypeA, "A 9.9.9.1"},
		{"nowhere.example.", dns.TypeA, "SERVFAIL"},
		{"www.example.org.", dns.TypeA, "A 9.9.9.2"},
		{"sub.example.net.", dns.TypeA, "A 9.9.9.2"},
		{"example.net.", dns.TypeA, "A 9.9.9.1"},
		{"custom.example.", dns.TypeA, "A 10.1.1.4"},
		{"x.custom.example.", dns.TypeA, "SERVFAIL"},
	} {
		m := s.reply(t.Context(), ask(c.name, c.kind))
		if got := told(m); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, dns.TypeToString[c.kind], got, c.want)
		}
		for _, r := range m.Answer {
			if r.Header().Name != c.name {
				t.Errorf("%s is answered as %s", c.name, r.Header().Name)
			}
		}
	}
	for name, want := range map[string]uint32{"web.shop.svc.cluster.local.": 30, "own.example.": 17} {
		if m := s.reply(t.Context(), ask(name, dns.TypeA)); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != want {
			t.Errorf("%s: %v, want %d seconds", name, m.Answer, want)
		}
	}
	if m := s.reply(t.Context(), ask("else.example.", dns.TypeA)); len(m.Answer) != 1 {
		t.Error(m)
	}
	if n := slices.Index(asked(), "else.example."); n < 0 {
		t.Error("the first question for else.example. was not forwarded")
	}
	if slices.Contains(asked(), "else.example.") {
		t.Error("a name that is remembered was asked for again")
	}
	only, _, err := compile("example.org {\n forward . "+two+"\n}", environment{now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.view.Store(only)
	if got := told(s.reply(t.Context(), ask("example.com.", dns.TypeA))); got != "REFUSED" {
		t.Errorf("a name of no block: %s", got)
	}
}

// A server that does not answer is asked last for a while, and by the policy
// questions are spread.
func TestOrder(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newForwarder([]string{"a", "b", "c"}, func() time.Time { return now })
	f.policy = "sequential"
	f.heard("a", false)
	if got := f.order(); !slices.Equal(got, []string{"b", "c", "a"}) {
		t.Error(got)
	}
	now = now.Add(avoided)
	if got := f.order(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Error(got)
	}
	f.policy = "round_robin"
	seen := map[string]bool{}
	for range 3 {
		seen[f.order()[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("in turn only %v are asked", seen)
	}
}
