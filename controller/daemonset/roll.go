package daemonset

import (
	v1 "k8s.io/api/core/v1"
)

// roll replaces pods of an old template, as far as the strategy allows.
func (v view) roll(places []*place, p *plan) {
	desired := 0
	var concerned []*place
	for _, at := range places {
		if at.node != nil && at.fit == runs {
			desired++
			concerned = append(concerned, at)
		} else if len(at.pods) > 0 {
			concerned = append(concerned, at)
		}
	}
	surge, unavailable := v.surge(desired), v.unavailable(desired)
	if desired > 0 && surge == 0 && unavailable == 0 {
		unavailable = 1 // or nothing would ever happen
	}
	if surge == 0 {
		v.replace(concerned, unavailable, p)
	} else {
		v.takeOver(concerned, surge, desired, p)
	}
}

// pair returns the pods of the new and of an old template at a place. It is not
// ok where there are several of either, which manage is to settle.
func (v view) pair(at *place) (fresh, old *v1.Pod, ok bool) {
	for _, pod := range at.pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		which := &old
		if v.updated(pod) {
			which = &fresh
		}
		if *which != nil {
			return nil, nil, false
		}
		*which = pod
	}
	return fresh, old, true
}

// replace deletes old pods, of which new ones take the place afterwards, while
// no more than limit nodes are without an available pod. An old pod that is not
// available itself costs nothing to replace.
func (v view) replace(places []*place, limit int, p *plan) {
	missing := 0
	var candidates []removal
	for _, at := range places {
		fresh, old, ok := v.pair(at)
		switch {
		case !ok, (fresh == nil) == (old == nil):
			missing++
		case fresh != nil:
			if !v.available(fresh) {
				missing++
			}
		case !v.available(old):
			missing++
			p.remove = append(p.remove, removal{pod: old})
		default:
			candidates = append(candidates, removal{pod: old})
		}
	}
	p.remove = append(p.remove, candidates[:min(len(candidates), max(0, limit-missing))]...)
}

// takeOver makes new pods beside the old ones, on no more than limit nodes at a
// time, and deletes each old one once the new one is available. On a node that
// the daemon is not for any more, the old pod is kept for as long as it is
// needed to have the desired number available.
func (v view) takeOver(places []*place, limit, desired int, p *plan) {
	surging, available := 0, 0
	var candidates []string
	var misplaced []removal
	for _, at := range places {
		fresh, old, ok := v.pair(at)
		if !ok {
			surging++
			continue
		}
		if one := old; one != nil && v.available(one) || one == nil && fresh != nil && v.available(fresh) {
			available++
		}
		switch {
		case old == nil:
		case fresh != nil:
			if v.available(fresh) {
				p.remove = append(p.remove, removal{pod: old})
			} else {
				surging++
			}
		case at.node == nil:
			// Its pods are the business of the pod garbage collector.
		case !v.available(old):
			if at.fit == runs {
				p.create = append(p.create, at.name)
			} else {
				p.remove = append(p.remove, removal{pod: old})
			}
		case at.fit != runs:
			misplaced = append(misplaced, removal{pod: old})
		default:
			candidates = append(candidates, at.name)
		}
	}
	p.remove = append(p.remove, misplaced[:min(len(misplaced), max(0, available-desired))]...)
	p.create = append(p.create, candidates[:min(len(candidates), max(0, limit-surging))]...)
}
