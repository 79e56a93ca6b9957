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
	if grow := len(state.slots) - len(s.verdicts); grow > 0 {
		s.verdicts = append(s.verdicts, make([]verdict, grow)...)
	}
	var largest [maxScorers]int64
	feasible := 0
	for i, n := range state.slots {
		if n.api == nil {
			continue
		}
		v := &s.verdicts[i]
		if v.generation != n.generation {
			d.judge(s, n, v)
		}
		if v.refusedBy < 0 {
			feasible++
			for k := range d.scorers {
				largest[k] = max(largest[k], v.raw[k])
			}
		}
	}
	if feasible == 0 {
		return d.explain(s, state)
	}
	best, bestScore, ties := -1, int64(-1), 0
	for i, n := range state.slots {
		if n.api == nil || s.verdicts[i].refusedBy >= 0 {
			continue
		}
		var score int64
		for k, p := range d.scorers {
			score += p.Weight() * p.Normalize(s.verdicts[i].raw[k], largest[k])
		}
		switch {
		case score > bestScore:
			best, bestScore, ties = i, score, 1
		case score == bestScore:
			// Every one of the best is equally likely to be chosen.
			ties++
			if d.random.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return Decision{Node: state.slots[best].api.Name}
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
