package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// element is the key of an entry in a set or map.
type element struct{ in, key string }

// objects are things in the table. Those of two fronts never clash, but for
// shared chains, whose names say what is in them.
type objects struct {
	elements map[element]string // value, "" in sets
	chains   map[string][]string
	shared   map[string][]string
	clients  map[string]time.Duration // sets of clients, and how long they stay in
}

func newObjects() *objects {
	return &objects{elements: map[element]string{}, chains: map[string][]string{}, shared: map[string][]string{}, clients: map[string]time.Duration{}}
}

// renderer writes what fronts need as nftables objects of one family. It is
// pure.
type renderer struct {
	ip    string         // "ip" or "ip6", in rules
	cidrs []netip.Prefix // addresses of the cluster's pods
}

// fronted is a front with its endpoints numbered.
type fronted struct {
	*Front
	targets, local slots
}

func (r renderer) render(f fronted) *objects {
	o := newObjects()
	if f.Front == nil || f.served() {
		return o
	}
	if f.Scope == Internal {
		o.elements[element{setClusterIPs, f.Addr.String()}] = ""
	}
	if f.Sources != nil {
		r.firewall(o, f)
	}
	switch {
	case len(f.targets) > 0:
		o.elements[element{f.services(), f.key()}] = "goto " + r.entry(o, f)
	case f.Silent:
		o.elements[element{f.services(), f.key()}] = "drop"
	case f.Scope != Internal: // what is left over for a cluster IP is refused at the end
		o.elements[element{f.refused(), f.key()}] = ""
	}
	return o
}

// key addresses the front in maps.
func (f fronted) key() string {
	k := f.protocol() + " . " + strconv.Itoa(int(f.Port))
	if f.nodePort() {
		return k
	}
	return f.Addr.String() + " . " + k
}

// name is for objects of the front alone.
func (f fronted) name(kind string) string {
	addr := "node"
	if !f.nodePort() {
		addr = strings.ReplaceAll(f.Addr.String(), ":", ".") // no colon in a name
	}
	return fmt.Sprintf("%s-%s-%s-%d", kind, addr, f.protocol(), f.Port)
}

func (f fronted) services() string {
	if f.nodePort() {
		return mapNodePorts
	}
	return mapServices
}

func (f fronted) refused() string {
	if f.nodePort() {
		return setRefusedNodePorts
	}
	return setRefused
}

// entry makes the chain that connections to the front enter, and returns its
// name.
func (r renderer) entry(o *objects, f fronted) string {
	p := r.picks(f)
	pick := p.all(o, f.targets)
	switch f.Scope {
	case External:
		return r.masquerading(o, p, pick)
	case ExternalLocal:
		rules := make([]string, 0, 3)
		if len(r.cidrs) > 0 {
			rules = append(rules, fmt.Sprintf("%s saddr %s goto %s", r.ip, list(r.cidrs), pick))
		}
		rules = append(rules, "fib saddr type local goto "+r.masquerading(o, p, pick))
		name := p.name("local") + "-" + strconv.Itoa(len(f.local))
		if len(f.local) == 0 {
			rules = append(rules, "drop")
		} else {
			rules = append(rules, p.only(o, f.local))
		}
		p.chains(o)[name] = rules
		return name
	}
	return pick
}

// masquerading makes a chain that marks connections for masquerading and goes
// on to pick.
func (r renderer) masquerading(o *objects, p picker, pick string) string {
	name := p.name("masquerade")
	p.chains(o)[name] = []string{markForMasquerade, "goto " + pick}
	return name
}

// picker picks an endpoint of a front.
type picker interface {
	// name of a chain of some kind before the pick.
	name(kind string) string
	// chains is where such chains belong.
	chains(o *objects) map[string][]string
	// all makes the chain that picks one of the targets, and returns its name.
	all(o *objects, targets slots) string
	// only returns the rule that picks one of the local endpoints.
	only(o *objects, local slots) string
}

func (r renderer) picks(f fronted) picker {
	if f.Affinity > 0 {
		return sticky{r, f}
	}
	return random{r, f}
}

// random picks by a map from front and number to endpoint. Its chains depend on
// the protocol and on how many endpoints there are and nothing else, so that
// all fronts share them.
type random struct {
	renderer
	f fronted
}

func (p random) name(kind string) string {
	if p.f.nodePort() {
		kind = "node-port-" + kind
	}
	return fmt.Sprintf("%s-%s-%d", kind, p.f.protocol(), len(p.f.targets))
}

func (p random) chains(o *objects) map[string][]string { return o.shared }

func (p random) all(o *objects, targets slots) string {
	name, in := p.name("pick"), mapEndpoints
	if p.f.nodePort() {
		in = mapNodePortEndpoints
	}
	o.shared[name] = []string{p.fill(o, targets, in)}
	return name
}

func (p random) only(o *objects, local slots) string {
	in := mapLocalEndpoints
	if p.f.nodePort() {
		in = mapLocalNodePortEndpoints
	}
	return p.fill(o, local, in)
}

// fill enters endpoints into a map and returns the rule that picks one.
func (p random) fill(o *objects, endpoints slots, in string) string {
	in += "-" + p.f.protocol()
	front, key := p.f.protocol()+" dport", strconv.Itoa(int(p.f.Port))
	if !p.f.nodePort() {
		front, key = p.ip+" daddr . "+front, p.f.Addr.String()+" . "+key
	}
	for i, a := range endpoints {
		o.elements[element{in, key + " . " + strconv.Itoa(i)}] = a.Addr().String() + " . " + strconv.Itoa(int(a.Port()))
	}
	return fmt.Sprintf("dnat %s to %s . numgen random mod %d map @%s", p.ip, front, len(endpoints), in)
}

// sticky sends a client to the endpoint that it was sent to before. For each
// endpoint there is a set of clients, which forgets them in time.
type sticky struct {
	renderer
	f fronted
}

func (p sticky) name(kind string) string { return p.f.name("sticky-" + kind) }

func (p sticky) chains(o *objects) map[string][]string { return o.chains }

func (p sticky) all(o *objects, targets slots) string {
	name := p.name("pick")
	o.chains[name] = p.rules(o, targets)
	return name
}

func (p sticky) only(o *objects, local slots) string {
	name := p.name("pick-local")
	o.chains[name] = p.rules(o, local)
	return "goto " + name
}

func (p sticky) rules(o *objects, endpoints slots) []string {
	var remembered, numbered []string
	for i, a := range endpoints {
		at := strings.NewReplacer(":", ".", "[", "", "]", "").Replace(a.String())
		// A set cannot change its time, so that another time is another set.
		set := fmt.Sprintf("%s-%s-%ds", p.f.name("clients"), at, int(p.f.Affinity.Seconds()))
		chain := p.f.name("endpoint") + "-" + at
		o.clients[set] = p.f.Affinity
		o.chains[chain] = []string{
			fmt.Sprintf("update @%s { %s saddr }", set, p.ip),
			fmt.Sprintf("meta l4proto %s dnat to %s", p.f.protocol(), a),
		}
		remembered = append(remembered, fmt.Sprintf("%s saddr @%s goto %s", p.ip, set, chain))
		numbered = append(numbered, fmt.Sprintf("%d : goto %s", i, chain))
	}
	return append(remembered, fmt.Sprintf("numgen random mod %d vmap { %s }", len(endpoints), strings.Join(numbered, " , ")))
}

// firewall lets only the front's sources connect.
func (r renderer) firewall(o *objects, f fronted) {
	name := f.name("firewall")
	rule := "drop"
	if len(f.Sources) > 0 {
		rule = fmt.Sprintf("%s saddr != %s drop", r.ip, list(f.Sources))
	}
	o.chains[name] = []string{rule}
	o.elements[element{mapFirewall, f.key()}] = "goto " + name
}

func list(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
