package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Decision is where a pod goes, or why it goes nowhere.
type Decision struct {
	// Node is empty where no node fits.
	Node string
	// Message says why, as the PodScheduled condition and the event show it.
	Message string
	// RefusedBy names the filters that refused at least one node.
	RefusedBy []string
}

// decider holds the plugins. decide is a pure function of its arguments and
// the random source, apart from what the shape remembers.
type decider struct {
	filters []Filter
	scorers []Scorer
	random  *rand.Rand
}

func newDecider(seed uint64) *decider {
	return &decider{filters: filters(), scorers: scorers(), random: rand.New(rand.NewPCG(seed, seed))}
}

func (d *decider) decide(s *shape, state *nodes) Decision {
	d.refresh(s, state)
	bestScore, ties := refused, 0
	for _, score := range s.scores {
		if score > bestScore {
			bestScore, ties = score, 1
		} else if score == bestScore {
			ties++
		}
	}
	if bestScore == refused {
		return d.explain(s, state)
	}
	// Every one of the best is equally likely to be chosen.
	skip := d.random.IntN(ties)
	for i, score := range s.scores {
		if score != bestScore {
			continue
		}
		if skip == 0 {
			return Decision{Node: state.slots[i].api.Name}
		}
		skip--
	}
	panic("unreachable: a best score is the score of a slot")
}

// refresh brings what the shape remembers up to date with the nodes that have
// changed since.
func (d *decider) refresh(s *shape, state *nodes) {
	if grow := len(state.slots) - len(s.verdicts); grow > 0 {
		s.verdicts = append(s.verdicts, make([]verdict, grow)...)
		s.scores = append(s.scores, make([]int64, grow)...)
	}
	rescale := false
	changed, known := state.since(s.seen)
	if known {
		for _, i := range changed {
			rescale = d.renew(s, state, i) || rescale
		}
	} else {
		for i := range state.slots {
			rescale = d.renew(s, state, i) || rescale
		}
	}
	s.seen = state.generation
	if !rescale {
		return
	}
	s.largest = [maxScorers]int64{}
	for i := range s.verdicts {
		if v := &s.verdicts[i]; s.scores[i] != refused {
			for k := range d.scorers {
				s.largest[k] = max(s.largest[k], v.raw[k])
			}
		}
	}
	for i := range s.scores {
		if s.scores[i] != refused {
			s.scores[i] = d.total(s, &s.verdicts[i])
		}
	}
}

// renew judges a slot anew where it has changed. It reports whether the largest
// raw score of a relative scorer may have become another, which concerns the
// scores of all nodes.
func (d *decider) renew(s *shape, state *nodes, i int) (rescale bool) {
	n, v := state.slots[i], &s.verdicts[i]
	if v.generation == n.generation {
		return false
	}
	was := v.raw // zero where the node was refused
	fits := false
	if n.api == nil {
		*v = verdict{generation: n.generation}
	} else {
		d.judge(s, n, v)
		fits = v.refusedBy < 0
	}
	for k, p := range d.scorers {
		if p.Relative() && v.raw[k] != was[k] && (v.raw[k] > s.largest[k] || was[k] == s.largest[k]) {
			rescale = true
		}
	}
	switch {
	case !fits:
		s.scores[i] = refused
	case rescale:
		// A total by the old largest score may be anything, even refused.
		s.scores[i] = 0
	default:
		s.scores[i] = d.total(s, v)
	}
	return rescale
}

// total is the weighted sum of the normalized scores.
func (d *decider) total(s *shape, v *verdict) (score int64) {
	for k, p := range d.scorers {
		score += p.Weight() * p.Normalize(v.raw[k], s.largest[k])
	}
	return score
}

func (d *decider) judge(s *shape, n *node, v *verdict) {
	*v = verdict{generation: n.generation, refusedBy: -1}
	for k, f := range d.filters {
		if reasons := f.Refuse(s, n); len(reasons) > 0 {
			v.refusedBy, v.reasons = int8(k), reasons
			return
		}
	}
	for k, p := range d.scorers {
		v.raw[k] = p.Score(s, n)
	}
}

// explain tells how many nodes were refused for which reason.
func (d *decider) explain(s *shape, state *nodes) Decision {
	if state.ready == 0 {
		return Decision{Message: "no nodes available to schedule pods"}
	}
	count := map[string]int{}
	var by []string
	for i, n := range state.slots {
		if n.api == nil {
			continue
		}
		v := &s.verdicts[i]
		for _, r := range v.reasons {
			count[r]++
		}
		if name := d.filters[v.refusedBy].Name(); !slices.Contains(by, name) {
			by = append(by, name)
		}
	}
	reasons := make([]string, 0, len(count))
	for r, n := range count {
		reasons = append(reasons, fmt.Sprintf("%d %s", n, r))
	}
	slices.Sort(reasons)
	slices.Sort(by)
	return Decision{
		Message:   fmt.Sprintf("0/%d nodes are available: %s.", state.ready, strings.Join(reasons, ", ")),
		RefusedBy: by,
	}
}
