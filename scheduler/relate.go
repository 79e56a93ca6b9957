package scheduler

// refusal is what a related plugin says of a slot that all filters let pass.
type refusal struct {
	plugin, reason string
	curable        bool
}

// named is the view of a plugin.
type named struct {
	view
	plugin Related
}

// views asks the related plugins about a pod. There are none where its relation
// to others is nil.
func (d *decider) views(s *shape, r *relation, state *nodes) []named {
	if r == nil {
		return nil
	}
	var out []named
	for _, p := range d.related {
		if v := p.view(s, r, state); v != nil {
			out = append(out, named{v, p})
		}
	}
	return out
}

// refuse is what the views say of a slot.
func refuse(views []named, slot int) refusal {
	for _, v := range views {
		if reason, curable := v.refuse(slot); reason != "" {
			return refusal{v.plugin.Name(), reason, curable}
		}
	}
	return refusal{}
}

// relate scores the slots in the light of the other nodes' pods. What the shape
// remembers is not changed: it holds for every pod of the shape.
func (d *decider) relate(s *shape, views []named) (scores []int64, refusals []refusal) {
	scores, refusals = make([]int64, len(s.scores)), make([]refusal, len(s.scores))
	var remain []int
	var largest [maxScorers]int64
	for i, score := range s.scores {
		if scores[i] = refused; score == refused {
			continue
		}
		if refusals[i] = refuse(views, i); refusals[i].reason != "" {
			continue
		}
		remain = append(remain, i)
		for k := range d.scorers {
			largest[k] = max(largest[k], s.verdicts[i].raw[k])
		}
	}
	for _, i := range remain {
		scores[i] = d.total(&s.verdicts[i], &largest)
	}
	if len(remain) == 0 {
		return scores, refusals
	}
	for _, v := range views {
		weight := v.plugin.Weight()
		for k, score := range v.scores(remain) {
			scores[remain[k]] += weight * score
		}
	}
	return scores, refusals
}
