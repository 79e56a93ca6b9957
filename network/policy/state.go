package policy

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// state is what all policies together ask of the node. What changes by a new
// policy, pod or namespace goes into the table. Not for concurrent use.
type state struct {
	table *table

	namespaces map[string]labels.Set
	policies   map[string]map[string]*Policy // by namespace and name
	pods       map[string]map[string]*Pod    // by namespace and name

	groups map[string]*members
	chains map[string]*chain
	// ways are the chains that each pod of this node goes by.
	ways map[types.NamespacedName]map[direction]string
	// claims are the pods of this node that show an address.
	claims map[netip.Addr][]*Pod
}

// members are those of a group that chains use.
type members struct {
	group
	users int
	// count says by how many pods an element is there.
	count map[element]int
}

// chain is one that pods of this node go by.
type chain struct {
	users  int
	groups []group
}

func newState(t *table) *state {
	return &state{
		table: t, namespaces: map[string]labels.Set{}, policies: map[string]map[string]*Policy{}, pods: map[string]map[string]*Pod{},
		groups: map[string]*members{}, chains: map[string]*chain{},
		ways: map[types.NamespacedName]map[direction]string{}, claims: map[netip.Addr][]*Pod{},
	}
}

// put sets or, with nil, deletes an entry of a map of maps.
func put[V any](in map[string]map[string]*V, namespace, name string, v *V) {
	if v == nil {
		if delete(in[namespace], name); len(in[namespace]) == 0 {
			delete(in, namespace)
		}
		return
	}
	if in[namespace] == nil {
		in[namespace] = map[string]*V{}
	}
	in[namespace][name] = v
}

// setPolicy replaces a policy; nil takes it away.
func (s *state) setPolicy(name types.NamespacedName, p *Policy) {
	if p == nil && s.policies[name.Namespace][name.Name] == nil {
		return
	}
	put(s.policies, name.Namespace, name.Name, p)
	for _, pod := range s.pods[name.Namespace] {
		if pod.Local {
			s.route(pod.NamespacedName, pod)
			s.settle(pod.Addrs)
		}
	}
}

// setNamespace replaces the labels of a namespace; with known false it is gone.
func (s *state) setNamespace(name string, l labels.Set, known bool) {
	old, was := s.namespaces[name]
	if was == known && maps.Equal(old, l) {
		return
	}
	if known {
		s.namespaces[name] = l
	} else {
		delete(s.namespaces, name)
	}
	for _, g := range s.groups {
		for _, p := range s.pods[name] {
			s.change(g, g.elements(p, old, was), g.elements(p, l, known))
		}
	}
}

// setPod replaces a pod; nil takes it away.
func (s *state) setPod(name types.NamespacedName, p *Pod) {
	old := s.pods[name.Namespace][name.Name]
	if same(old, p) {
		return
	}
	put(s.pods, name.Namespace, name.Name, p)
	for _, g := range s.groups {
		s.change(g, s.elements(g, old), s.elements(g, p))
	}
	var touched []netip.Addr
	if old != nil && old.Local {
		touched = append(touched, old.Addrs...)
		for _, a := range old.Addrs {
			s.claims[a] = slices.DeleteFunc(s.claims[a], func(p *Pod) bool { return p == old })
		}
	}
	if p != nil && p.Local {
		touched = append(touched, p.Addrs...)
		for _, a := range p.Addrs {
			s.claims[a] = append(s.claims[a], p)
		}
		s.route(name, p)
	} else {
		s.route(name, nil)
	}
	s.settle(touched)
}

// elements are what a pod, or nil, brings into a group.
func (s *state) elements(g *members, p *Pod) []element {
	if p == nil {
		return nil
	}
	namespace, known := s.namespaces[p.Namespace]
	return g.elements(p, namespace, known)
}

// change replaces what one pod brings into a group.
func (s *state) change(g *members, before, after []element) {
	for _, e := range after {
		if g.count[e]++; g.count[e] == 1 {
			s.table.put(e, "")
		}
	}
	for _, e := range before {
		if g.count[e]--; g.count[e] == 0 {
			delete(g.count, e)
			s.table.remove(e)
		}
	}
}

// route finds the chains of a pod of this node, and makes those that are not
// there. Those of nil are none.
func (s *state) route(name types.NamespacedName, p *Pod) {
	old, next := s.ways[name], map[direction]string{}
	if p != nil {
		for _, d := range []direction{ingress, egress} {
			if lines, groups := s.rules(p, d); lines != nil {
				next[d] = s.enter(d, lines, groups)
			}
		}
	}
	for _, used := range old {
		s.leave(used)
	}
	if len(next) == 0 {
		delete(s.ways, name)
	} else {
		s.ways[name] = next
	}
}

// rules are those of a pod, nil where it is not isolated that way.
func (s *state) rules(p *Pod, d direction) ([]string, []group) {
	var lines []string
	var groups []group
	isolated := false
	for _, policy := range s.policies[p.Namespace] {
		side := policy.side(d)
		if side == nil || !policy.selects(p) {
			continue
		}
		isolated = true
		lines, groups = append(lines, side.lines...), append(groups, side.groups...)
	}
	if !isolated || slices.Contains(lines, pass) {
		return nil, nil
	}
	slices.Sort(lines)
	lines = append(slices.Compact(lines), "drop")
	slices.SortFunc(groups, func(a, b group) int { return compare(a.name, b.name) })
	return lines, slices.CompactFunc(groups, func(a, b group) bool { return a.name == b.name })
}

// enter counts one more user of a chain, and returns its name.
func (s *state) enter(d direction, lines []string, groups []group) string {
	name := string(d) + "-" + digest(lines...)
	c := s.chains[name]
	if c == nil {
		c = &chain{groups: groups}
		s.chains[name] = c
		for _, g := range groups {
			s.use(g)
		}
		s.table.addChain(name, lines)
	}
	c.users++
	return name
}

// leave counts one user less.
func (s *state) leave(name string) {
	c := s.chains[name]
	if c.users--; c.users > 0 {
		return
	}
	delete(s.chains, name)
	s.table.dropChain(name)
	for _, g := range c.groups {
		m := s.groups[g.name]
		if m.users--; m.users > 0 {
			continue
		}
		delete(s.groups, g.name)
		for _, f := range families {
			s.table.dropSet(g.setName(f))
		}
	}
}

// use counts one more user of a group, and fills it for the first.
func (s *state) use(g group) {
	m := s.groups[g.name]
	if m == nil {
		m = &members{group: g, count: map[element]int{}}
		s.groups[g.name] = m
		for _, f := range families {
			s.table.addSet(g.setName(f), g.setType(f))
		}
		for _, pods := range s.pods {
			for _, p := range pods {
				s.change(m, nil, s.elements(m, p))
			}
		}
	}
	m.users++
}

// settle brings the entries of addresses to what is true of the pods that they
// belong to.
func (s *state) settle(addrs []netip.Addr) {
	for _, a := range addrs {
		var owner *Pod
		for _, p := range s.claims[a] {
			if owner == nil || p.later(owner) {
				owner = p
			}
		}
		var ways map[direction]string
		if owner == nil {
			delete(s.claims, a)
		} else {
			ways = s.ways[owner.NamespacedName]
		}
		f := familyOf(a)
		for _, d := range []direction{ingress, egress} {
			e := element{mapOf(d, f), a.String()}
			if way := ways[d]; way != "" {
				s.table.put(e, jump+way)
			} else {
				s.table.remove(e)
			}
		}
		self := element{setSelf + f.suffix, a.String() + " . " + a.String()}
		if len(ways) > 0 {
			s.table.put(self, "")
		} else {
			s.table.remove(self)
		}
	}
}
