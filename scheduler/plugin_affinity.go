package scheduler

import "slices"

// hardAffinityWeight is how much the required terms of placed pods draw those
// whom they name: upstream's default.
const hardAffinityWeight = 1

// interPodAffinity puts pods where others are, or are not: by the pod's own
// terms, and by those of the placed pods.
type interPodAffinity struct{}

func (interPodAffinity) Name() string { return "InterPodAffinity" }

func (interPodAffinity) Weight() int64 { return 2 }

func (interPodAffinity) Wakes(c Change) bool {
	return c.NodeAdded || c.NodeLabels || c.PodRemoved || c.PodPlaced || c.NamespaceLabels
}

// allOf is the selection of the pods that every term names.
func allOf(terms []term) selection {
	if len(terms) == 0 {
		return selection{}
	}
	all := terms[0].selection
	for i := range terms[1:] {
		all.also = append(all.also, &terms[i+1].selection)
	}
	all.seal()
	return all
}

func (interPodAffinity) view(_ *shape, r *relation, state *nodes) view {
	v := &affinityView{weights: map[string][]int64{}}
	if len(r.required) > 0 {
		v.require(r, state)
	}
	for i := range r.forbidden {
		d := state.domains(r.forbidden[i].topologyKey)
		v.forbidden = append(v.forbidden, level{d, d.sum(state.tally(&r.forbidden[i].selection))})
	}
	for i := range r.preferred {
		t := &r.preferred[i]
		d := state.domains(t.topologyKey)
		v.weigh(d, state.tally(&t.selection), t.weight)
	}
	for _, c := range r.naming {
		v.heed(c, state)
	}
	if len(v.required)+len(v.forbidden)+len(v.repelled)+len(v.weighing) == 0 {
		return nil
	}
	return v
}

// level is a division of the nodes with the pods in each domain.
type level struct {
	*domains
	sums []int32
}

type affinityView struct {
	required, forbidden []level
	// first: nobody is there that the required terms name, but the pod itself is
	// one of those; so it may be the first.
	first bool
	// repelled are the domains where a pod is that does not want this one.
	repelled []level
	// weights of the domains by label, and the divisions that they belong to.
	weights  map[string][]int64
	weighing []*domains
}

func (v *affinityView) require(r *relation, state *nodes) {
	bySlot := state.tally(&r.together)
	v.first = r.together.matches(r.pod, state.tallies.spaces)
	for i := range r.required {
		d := state.domains(r.required[i].topologyKey)
		l := level{d, d.sum(bySlot)}
		if slices.ContainsFunc(l.sums, func(n int32) bool { return n > 0 }) {
			v.first = false
		}
		v.required = append(v.required, l)
	}
}

// heed takes in a term of placed pods.
func (v *affinityView) heed(c *carrier, state *nodes) {
	d := state.domains(c.topologyKey)
	if c.bond != repels {
		w := v.weightsOf(d)
		for slot, n := range c.at {
			if i := d.of[slot]; i != none {
				w[i] += int64(n) * c.weight
			}
		}
		return
	}
	i := slices.IndexFunc(v.repelled, func(l level) bool { return l.key == c.topologyKey })
	if i < 0 {
		i = len(v.repelled)
		v.repelled = append(v.repelled, level{d, make([]int32, d.count())})
	}
	for slot, n := range c.at {
		if x := d.of[slot]; x != none {
			v.repelled[i].sums[x] += n
		}
	}
}

// weigh adds the weight of each pod to its domain.
func (v *affinityView) weigh(d *domains, bySlot []int32, weight int64) {
	w := v.weightsOf(d)
	for slot, i := range d.of {
		if i != none {
			w[i] += int64(bySlot[slot]) * weight
		}
	}
}

func (v *affinityView) weightsOf(d *domains) []int64 {
	if v.weights[d.key] == nil {
		v.weights[d.key] = make([]int64, d.count())
		v.weighing = append(v.weighing, d)
	}
	return v.weights[d.key]
}

func (v *affinityView) refuse(slot int) (string, bool) {
	for _, l := range v.required {
		if d := l.of[slot]; d == none || l.sums[d] == 0 && !v.first {
			return "node(s) didn't match pod affinity rules", false
		}
	}
	for _, l := range v.forbidden {
		if d := l.of[slot]; d != none && l.sums[d] > 0 {
			return "node(s) didn't match pod anti-affinity rules", true
		}
	}
	for _, l := range v.repelled {
		if d := l.of[slot]; d != none && l.sums[d] > 0 {
			return "node(s) didn't satisfy existing pods anti-affinity rules", true
		}
	}
	return "", true
}

func (v *affinityView) scores(slots []int) []int64 {
	if len(v.weighing) == 0 {
		return nil
	}
	out := make([]int64, len(slots))
	for i, slot := range slots {
		for _, d := range v.weighing {
			if x := d.of[slot]; x != none {
				out[i] += v.weights[d.key][x]
			}
		}
	}
	lo, hi := slices.Min(out), slices.Max(out)
	for i := range out {
		if hi == lo {
			out[i] = 0
		} else {
			out[i] = int64(maxScore * float64(out[i]-lo) / float64(hi-lo))
		}
	}
	return out
}
