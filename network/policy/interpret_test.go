package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"
)

// packet is the first one of a connection.
type packet struct {
	from, to netip.Addr
	protocol string
	port     int
}

func (p packet) String() string {
	return fmt.Sprintf("%s to %s %s %d", p.from, p.to, p.protocol, p.port)
}

// interpreter decides about packets by the rules of a table, one word after
// another, as the kernel does. What it does not know it panics on.
type interpreter struct {
	*knftables.FakeTable
	packet
}

// passes tells whether a packet gets through a hook.
func passes(nft *knftables.Fake, hook string, p packet) bool {
	nft.RLock()
	defer nft.RUnlock()
	if nft.Table == nil {
		return true
	}
	return interpreter{nft.Table, p}.chain(hook) != "drop"
}

// chain returns the verdict of a chain: accept, drop, or none.
func (i interpreter) chain(name string) string {
	c := i.Chains[name]
	if c == nil {
		panic("no chain " + name)
	}
	for _, r := range c.Rules {
		switch verdict := i.rule(strings.Fields(r.Rule)); verdict {
		case "accept", "drop":
			return verdict
		case "return":
			return ""
		}
	}
	return ""
}

// rule returns the verdict of a rule, or none where it does not match or a chain
// that it jumped to has returned.
func (i interpreter) rule(words []string) string {
	for len(words) > 0 {
		switch words[0] {
		case "accept", "drop", "return":
			return words[0]
		case "ct", "icmpv6", "iifname":
			return "" // the packet is new, of none of these, and not bridged
		case "meta":
			if words[1] != "l4proto" || words[2] != i.protocol {
				return ""
			}
			words = words[3:]
			continue
		}
		key, rest, applies := i.expression(words)
		if !applies {
			return ""
		}
		switch {
		case rest[0] == "vmap":
			verdict, found := i.verdict(rest[1], key)
			if !found {
				return ""
			}
			return i.chain(strings.TrimPrefix(verdict, "jump "))
		case strings.HasPrefix(rest[0], "@"):
			if !i.inSet(rest[0][1:], key) {
				return ""
			}
			words = rest[1:]
		case rest[0] == "{":
			end := slices.Index(rest, "}")
			if !within(strings.Split(strings.Join(rest[1:end], " "), ", "), key) {
				return ""
			}
			words = rest[end+1:]
		default:
			panic("what is " + strings.Join(words, " "))
		}
	}
	return ""
}

// expression reads what a rule compares, with dots between.
func (i interpreter) expression(words []string) (key string, rest []string, applies bool) {
	for {
		var value string
		switch words[0] + " " + words[1] {
		case "ip saddr", "ip6 saddr", "ip daddr", "ip6 daddr":
			if i.from.Is4() != (words[0] == "ip") {
				return "", nil, false
			}
			if value = i.from.String(); words[1] == "daddr" {
				value = i.to.String()
			}
		case "tcp dport", "udp dport", "sctp dport":
			if i.protocol != words[0] {
				return "", nil, false
			}
			value = strconv.Itoa(i.port)
		default:
			panic("what is " + strings.Join(words, " "))
		}
		if key += value; words[2] != "." {
			return key, words[2:], true
		}
		key, words = key+" . ", words[3:]
	}
}

func (i interpreter) verdict(name, key string) (string, bool) {
	for _, e := range i.Maps[name[1:]].Elements {
		if strings.Join(e.Key, " . ") == key {
			return e.Value[0], true
		}
	}
	return "", false
}

func (i interpreter) inSet(name, key string) bool {
	return slices.ContainsFunc(i.Sets[name].Elements, func(e *knftables.Element) bool { return strings.Join(e.Key, " . ") == key })
}

// within looks a port or an address up in a list of ranges.
func within(ranges []string, key string) bool {
	number := func(s string) netip.Addr {
		if n, err := strconv.Atoi(s); err == nil {
			return netip.AddrFrom4([4]byte{0, 0, byte(n >> 8), byte(n)})
		}
		return netip.MustParseAddr(s)
	}
	at := number(key)
	return slices.ContainsFunc(ranges, func(r string) bool {
		first, last, is := strings.Cut(r, "-")
		if !is {
			last = first
		}
		return !at.Less(number(first)) && !number(last).Less(at)
	})
}
