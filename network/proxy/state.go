package proxy

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// state is what all services together ask of the node. Not for concurrent use.
type state struct {
	plans map[types.NamespacedName]Plan
	// claims are the fronts of one key by different services, the prior first.
	claims map[Key][]*Front
}

func newState() *state {
	return &state{plans: map[types.NamespacedName]Plan{}, claims: map[Key][]*Front{}}
}

// delta is what has to change in the kernel.
type delta struct {
	fronts   map[Key]*Front     // nil for those that go
	hairpins map[netip.Addr]int // how many services more or less have the address here
}

func newDelta() delta {
	return delta{fronts: map[Key]*Front{}, hairpins: map[netip.Addr]int{}}
}

// set replaces the plan of one service and adds what changes by it to d. It
// keeps p.
func (s *state) set(name types.NamespacedName, p Plan, d delta) {
	old := s.plans[name]
	before := make(map[Key]*Front, len(old.Fronts))
	for _, f := range old.Fronts {
		before[f.Key] = f
	}
	for i, f := range p.Fronts {
		was := before[f.Key]
		delete(before, f.Key)
		if was != nil && was.equal(f) {
			p.Fronts[i] = was // the one that claims
			continue
		}
		s.claim(f.Key, was, f, d)
	}
	for k, f := range before {
		s.claim(k, f, nil, d)
	}
	for _, a := range old.Local {
		d.hairpins[a]--
	}
	for _, a := range p.Local {
		d.hairpins[a]++
	}
	if len(p.Fronts) == 0 && len(p.Local) == 0 && p.Health == 0 {
		delete(s.plans, name)
	} else {
		s.plans[name] = p
	}
}

// claim replaces one claim on a key by another; nil is none.
func (s *state) claim(k Key, old, next *Front, d delta) {
	all := slices.DeleteFunc(s.claims[k], func(f *Front) bool { return f == old })
	if next != nil {
		at, _ := slices.BinarySearchFunc(all, next, func(a, b *Front) int {
			if a.prior(b) {
				return -1
			}
			return 1
		})
		all = slices.Insert(all, at, next)
	}
	if len(all) == 0 {
		delete(s.claims, k)
		d.fronts[k] = nil
		return
	}
	s.claims[k] = all
	d.fronts[k] = all[0]
}

// all is the difference to nothing.
func (s *state) all() delta {
	d := newDelta()
	for k, fs := range s.claims {
		d.fronts[k] = fs[0]
	}
	for _, p := range s.plans {
		for _, a := range p.Local {
			d.hairpins[a]++
		}
	}
	return d
}

// of picks the changes of one family.
func (d delta) of(v6 bool) delta {
	out := newDelta()
	for k, f := range d.fronts {
		if k.V6 == v6 {
			out.fronts[k] = f
		}
	}
	for a, n := range d.hairpins {
		if a.Is6() == v6 && n != 0 {
			out.hairpins[a] = n
		}
	}
	return out
}
