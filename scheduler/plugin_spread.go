package scheduler

import (
	"fmt"
	"math"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// spreadRule is a topology spread constraint.
type spreadRule struct {
	selection
	topologyKey string
	maxSkew     int32
	minDomains  int32
	// self: the pod itself is one of those that are spread.
	self bool
	hard bool
	// byAffinity and byTaints leave out nodes that the pod does not select or
	// tolerate.
	byAffinity, byTaints bool
}

func spreadRules(pod *v1.Pod) ([]spreadRule, error) {
	var out []spreadRule
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("topology spread of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		r := spreadRule{
			topologyKey: c.TopologyKey, maxSkew: c.MaxSkew, minDomains: 1,
			self: selector.Matches(labels.Set(pod.Labels)), hard: c.WhenUnsatisfiable == v1.DoNotSchedule,
			byAffinity: c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == v1.NodeInclusionPolicyHonor,
			byTaints:   c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == v1.NodeInclusionPolicyHonor,
			selection:  selection{selectors: []labels.Selector{selector}, namespaces: []string{pod.Namespace}, living: true},
		}
		if c.MinDomains != nil {
			r.minDomains = *c.MinDomains
		}
		r.seal()
		out = append(out, r)
	}
	return out, nil
}

func (r *spreadRule) counts(x inclusion) bool {
	return (x.affinity || !r.byAffinity) && (x.taints || !r.byTaints)
}

// topologySpread keeps the pods of a selection even between the domains of a
// label, as a must or as a wish.
type topologySpread struct{}

func (topologySpread) Name() string { return "PodTopologySpread" }

func (topologySpread) Weight() int64 { return 2 }

func (topologySpread) Wakes(c Change) bool {
	return c.NodeAdded || c.NodeRemoved || c.NodeLabels || c.NodeTaints || c.PodRemoved || c.PodPlaced
}

func (topologySpread) view(s *shape, r *relation, state *nodes) view {
	if len(r.spread) == 0 {
		return nil
	}
	v := &spreadView{}
	for _, rule := range r.spread {
		l := &spreadLevel{rule: rule, domains: state.domains(rule.topologyKey), bySlot: state.tally(&rule.selection)}
		if rule.hard {
			v.hard = append(v.hard, l)
		} else {
			v.soft = append(v.soft, l)
		}
	}
	inclusions := r.inclusions(s, state)
	sumLevels(v.hard, inclusions)
	sumLevels(v.soft, inclusions)
	return v
}

// spreadLevel is a rule with the state of its domains.
type spreadLevel struct {
	rule    spreadRule
	domains *domains
	bySlot  []int32
	// sums of the pods in each domain, and the least of them.
	sums []int32
	min  int32
}

// sumLevels counts the pods of each rule by domain. Only nodes count that have
// the labels of all the rules.
func sumLevels(levels []*spreadLevel, inclusions []inclusion) {
	for _, l := range levels {
		l.sums = make([]int32, l.domains.count())
		present := make([]bool, len(l.sums))
		for slot, x := range inclusions {
			if !hasAll(levels, slot) || !l.rule.counts(x) {
				continue
			}
			d := l.domains.of[slot]
			l.sums[d] += l.bySlot[slot]
			present[d] = true
		}
		l.min = leastOf(l.sums, present, l.rule.minDomains)
	}
}

// leastOf is the smallest sum, or zero where there are fewer domains than there
// are to be.
func leastOf(sums []int32, present []bool, minDomains int32) int32 {
	least, n := int32(math.MaxInt32), int32(0)
	for d, there := range present {
		if there {
			n++
			least = min(least, sums[d])
		}
	}
	if n < minDomains {
		return 0
	}
	return least
}

func hasAll(levels []*spreadLevel, slot int) bool {
	for _, l := range levels {
		if l.domains.of[slot] == none {
			return false
		}
	}
	return true
}

type spreadView struct{ hard, soft []*spreadLevel }

const (
	spreadRefusal  = "node(s) didn't match pod topology spread constraints"
	spreadNoDomain = spreadRefusal + " (missing required label)"
)

func (v *spreadView) refuse(slot int) (string, bool) {
	for _, l := range v.hard {
		d := l.domains.of[slot]
		if d == none {
			return spreadNoDomain, false
		}
		self := int32(0)
		if l.rule.self {
			self = 1
		}
		if int64(l.sums[d])+int64(self)-int64(l.min) > int64(l.rule.maxSkew) {
			return spreadRefusal, true
		}
	}
	return "", true
}

func (v *spreadView) scores(slots []int) []int64 {
	if len(v.soft) == 0 {
		return nil
	}
	raw := v.rate(slots)
	lo, hi := int64(math.MaxInt64), int64(0)
	for _, x := range raw {
		if x >= 0 {
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	for i, x := range raw {
		switch {
		case x < 0:
			raw[i] = 0
		case hi == 0:
			raw[i] = maxScore
		default:
			raw[i] = maxScore * (hi + lo - x) / hi
		}
	}
	return raw
}

// rate is the number of pods in a node's domains, weighed so that a division
// into few domains counts as much as one into many; -1 for nodes that are in
// none.
func (v *spreadView) rate(slots []int) []int64 {
	sums := make([]float64, len(slots))
	for _, l := range v.soft {
		weight := math.Log(float64(v.sizeOf(l, slots) + 2))
		for i, slot := range slots {
			if !hasAll(v.soft, slot) {
				continue
			}
			count := l.bySlot[slot]
			if l.rule.topologyKey != v1.LabelHostname {
				count = l.sums[l.domains.of[slot]]
			}
			sums[i] += float64(count)*weight + float64(l.rule.maxSkew-1)
		}
	}
	out := make([]int64, len(slots))
	for i, slot := range slots {
		if out[i] = -1; hasAll(v.soft, slot) {
			out[i] = int64(math.Round(sums[i]))
		}
	}
	return out
}

// sizeOf is how many domains the nodes are in.
func (v *spreadView) sizeOf(l *spreadLevel, slots []int) int {
	seen := make([]bool, l.domains.count())
	n := 0
	for _, slot := range slots {
		if !hasAll(v.soft, slot) {
			continue
		}
		if d := l.domains.of[slot]; l.rule.topologyKey == v1.LabelHostname || !seen[d] {
			seen[d] = true
			n++
		}
	}
	return n
}
