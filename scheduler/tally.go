package scheduler

import (
	v1 "k8s.io/api/core/v1"
)

// tally counts the pods of a selection on each node. It is kept up to date as
// pods come and go, and made when it is first asked for.
type tally struct {
	selection selection
	bySlot    []int32
	used      uint64
}

// maxTallies bounds the tallies: the least recently used goes. It is more than
// the shapes that are remembered ask for.
const maxTallies = 1024

// tallies are what is counted of the pods, beside what they ask for.
type tallies struct {
	spaces spaces
	byKey  map[string]*tally
	clock  uint64
	// carried counts the terms of the pods that are placed: terms also bind
	// those whom they name.
	carried map[carriedKey]*carrier
}

func newTallies() tallies {
	return tallies{spaces: spaces{}, byKey: map[string]*tally{}, carried: map[carriedKey]*carrier{}}
}

// bond is what a term of a placed pod means to a pod that it names.
type bond int8

const (
	repels  bond = iota // must not share a domain
	draws               // must have been placed together: draws others too
	prefers             // weighs
)

type carriedKey struct {
	bond        bond
	weight      int64
	topologyKey string
	selection   string
}

// carrier counts the pods that carry a term, by slot.
type carrier struct {
	term
	bond   bond
	weight int64
	at     map[int]int32
}

// carries lists what a pod carries. Terms that cannot be read are none:
// validation keeps them out.
func carries(pod *v1.Pod) []carrier {
	if !hasAffinities(pod) {
		return nil
	}
	a, err := affinitiesOf(pod)
	if err != nil {
		return nil
	}
	var out []carrier
	for _, t := range a.forbidden {
		out = append(out, carrier{term: t, bond: repels})
	}
	for _, t := range a.required {
		out = append(out, carrier{term: t, bond: draws, weight: hardAffinityWeight})
	}
	for _, w := range a.preferred {
		out = append(out, carrier{term: w.term, bond: prefers, weight: w.weight})
	}
	return out
}

func (c *carrier) id() carriedKey {
	return carriedKey{c.bond, c.weight, c.topologyKey, c.key}
}

// count takes a pod on a node in (1) or out (-1).
func (s *tallies) count(p *placed, slot int, by int32) {
	for _, t := range s.byKey {
		if t.selection.matches(p.pod, s.spaces) {
			t.at(slot, by)
		}
	}
	for i := range p.carries {
		id := p.carries[i].id()
		c := s.carried[id]
		if c == nil {
			fresh := p.carries[i]
			fresh.at = map[int]int32{}
			c = &fresh
			s.carried[id] = c
		}
		if c.at[slot] += by; c.at[slot] <= 0 {
			delete(c.at, slot)
		}
		if len(c.at) == 0 {
			delete(s.carried, id)
		}
	}
}

func (t *tally) at(slot int, by int32) {
	if grow := slot + 1 - len(t.bySlot); grow > 0 {
		t.bySlot = append(t.bySlot, make([]int32, grow)...)
	}
	t.bySlot[slot] += by
}

// tally returns the count of a selection by slot.
func (s *nodes) tally(x *selection) []int32 {
	s.tallies.clock++
	t := s.tallies.byKey[x.key]
	if t == nil {
		t = &tally{selection: *x}
		for _, p := range s.pods {
			if x.matches(p.pod, s.tallies.spaces) {
				t.at(s.slot[p.node], 1)
			}
		}
		if len(s.tallies.byKey) >= maxTallies {
			s.tallies.evict()
		}
		s.tallies.byKey[x.key] = t
	}
	t.used = s.tallies.clock
	if grow := len(s.slots) - len(t.bySlot); grow > 0 {
		t.bySlot = append(t.bySlot, make([]int32, grow)...)
	}
	return t.bySlot
}

func (s *tallies) evict() {
	var oldest *tally
	for _, t := range s.byKey {
		if oldest == nil || t.used < oldest.used {
			oldest = t
		}
	}
	delete(s.byKey, oldest.selection.key)
}

// setNamespace takes in the labels of a namespace, nil for one that is gone. It
// reports whether they have changed.
func (s *tallies) setNamespace(name string, set map[string]string) bool {
	if was, known := s.spaces[name]; known == (set != nil) && sameStrings(was, set) {
		return false
	}
	if set == nil {
		delete(s.spaces, name)
	} else {
		s.spaces[name] = set
	}
	for key, t := range s.byKey {
		if t.selection.byNamespaceLabels() {
			delete(s.byKey, key) // made anew when it is asked for
		}
	}
	return true
}

// naming returns the carried terms that name a pod.
func (s *tallies) naming(pod *v1.Pod) []*carrier {
	var out []*carrier
	for _, c := range s.carried {
		if c.matches(pod, s.spaces) {
			out = append(out, c)
		}
	}
	return out
}
