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
	// RefusedBy names the plugins that refused at least one node.
	RefusedBy []string
	// curable are the slots of the nodes that may take the pod when others leave
	// them.
	curable []int
}

// decider holds the plugins. decide is a pure function of its arguments and
// the random source, apart from what the shape remembers.
type decider struct {
	filters []Filter
	scorers []Scorer
	related []Related
	random  *rand.Rand
}

func newDecider(seed uint64) *decider {
	return &decider{filters: filters(), scorers: scorers(), related: relatedPlugins(), random: rand.New(rand.NewPCG(seed, seed))}
}

// decide chooses a node for a pod of a shape, with its relation to others, which
// may be nil.
func (d *decider) decide(s *shape, r *relation, state *nodes) Decision {
	d.refresh(s, state)
	scores, refusals := s.scores, []refusal(nil)
	if views := d.views(s, r, state); len(views) > 0 {
		scores, refusals = d.relate(s, views)
	}
	if i := d.choose(scores); i >= 0 {
		return Decision{Node: state.slots[i].api.Name}
	}
	return d.explain(s, refusals, state)
}

// choose returns a slot with the highest score, or -1 where all are refused.
func (d *decider) choose(scores []int64) int {
	bestScore, ties := refused, 0
	for _, score := range scores {
		if score > bestScore {
			bestScore, ties = score, 1
		} else if score == bestScore {
			ties++
		}
	}
	if bestScore == refused {
		return -1
	}
	// Every one of the best is equally likely to be chosen.
	skip := d.random.IntN(ties)
	for i, score := range scores {
		if score != bestScore {
			continue
		}
		if skip == 0 {
			return i
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
			s.scores[i] = d.total(&s.verdicts[i], &s.largest)
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
		s.scores[i] = d.total(v, &s.largest)
	}
	return rescale
}

// total is the weighted sum of the scores, normalized by the largest ones.
func (d *decider) total(v *verdict, largest *[maxScorers]int64) (score int64) {
	for k, p := range d.scorers {
		score += p.Weight() * p.Normalize(v.raw[k], largest[k])
	}
	return score
}

// refusedBy returns the first filter that refuses a node, or -1.
func (d *decider) refusedBy(s *shape, n *node) (filter int8, reasons []string) {
	for k, f := range d.filters {
		if reasons := f.Refuse(s, n); len(reasons) > 0 {
			return int8(k), reasons
		}
	}
	return -1, nil
}

func (d *decider) judge(s *shape, n *node, v *verdict) {
	*v = verdict{generation: n.generation}
	if v.refusedBy, v.reasons = d.refusedBy(s, n); v.refusedBy >= 0 {
		return
	}
	for k, p := range d.scorers {
		v.raw[k] = p.Score(s, n)
	}
}

// explain tells how many nodes were refused for which reason.
func (d *decider) explain(s *shape, refusals []refusal, state *nodes) Decision {
	if state.ready == 0 {
		return Decision{Message: "no nodes available to schedule pods"}
	}
	count := reasonCount{}
	out := Decision{}
	for i, n := range state.slots {
		if n.api == nil {
			continue
		}
		var name string
		var curable bool
		if v := &s.verdicts[i]; v.refusedBy >= 0 {
			f := d.filters[v.refusedBy]
			name, curable = f.Name(), f.Curable(s, n)
			count.add(v.reasons...)
		} else {
			name, curable = refusals[i].plugin, refusals[i].curable
			count.add(refusals[i].reason)
		}
		if !slices.Contains(out.RefusedBy, name) {
			out.RefusedBy = append(out.RefusedBy, name)
		}
		if curable {
			out.curable = append(out.curable, i)
		}
	}
	slices.Sort(out.RefusedBy)
	out.Message = count.message(state.ready)
	return out
}

// reasonCount counts nodes by the reason for which they are refused.
type reasonCount map[string]int

func (c reasonCount) add(reasons ...string) {
	for _, r := range reasons {
		c[r]++
	}
}

// message tells how many of all nodes are refused for which reason.
func (c reasonCount) message(nodes int) string {
	reasons := make([]string, 0, len(c))
	for r, n := range c {
		reasons = append(reasons, fmt.Sprintf("%d %s", n, r))
	}
	slices.Sort(reasons)
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(reasons, ", "))
}
