package scheduler

import (
	"math"
	"slices"
	"strings"
)

// nodeResourcesFit refuses nodes without room for what the pod requests, and
// prefers the least allocated.
type nodeResourcesFit struct{}

func (nodeResourcesFit) Name() string { return "NodeResourcesFit" }

func (nodeResourcesFit) Refuse(s *shape, n *node) []string {
	var why []string
	if int64(len(n.pods))+1 > n.maxPods {
		why = append(why, "Too many pods")
	}
	short := func(name string, want, used, all int64) {
		if want > 0 && want > all-used {
			why = append(why, "Insufficient "+name)
		}
	}
	short("cpu", s.request.cpu, n.requested.cpu, n.allocatable.cpu)
	short("memory", s.request.memory, n.requested.memory, n.allocatable.memory)
	short("ephemeral-storage", s.request.ephemeral, n.requested.ephemeral, n.allocatable.ephemeral)
	if len(s.request.other) > 0 {
		from := len(why)
		for name, want := range s.request.other {
			short(string(name), want, n.requested.other[name], n.allocatable.other[name])
		}
		slices.SortFunc(why[from:], strings.Compare)
	}
	return why
}

// Curable: not where the empty node would be too small.
func (nodeResourcesFit) Curable(s *shape, n *node) bool {
	a := &n.allocatable
	if s.request.cpu > a.cpu || s.request.memory > a.memory || s.request.ephemeral > a.ephemeral {
		return false
	}
	for name, want := range s.request.other {
		if want > a.other[name] {
			return false
		}
	}
	return true
}

func (nodeResourcesFit) Wakes(c Change) bool {
	return c.NodeAdded || c.NodeAllocatable || c.PodRemoved
}

func (nodeResourcesFit) Weight() int64 { return 1 }

// Score is the mean of the free shares of CPU and memory after the pod has
// been placed.
func (nodeResourcesFit) Score(s *shape, n *node) int64 {
	var sum, count int64
	rate := func(want, used, all int64) {
		if all == 0 {
			return
		}
		count++
		if total := want + used; total <= all {
			sum += (all - total) * maxScore / all
		}
	}
	rate(s.scored.cpu, n.scored.cpu, n.allocatable.cpu)
	rate(s.scored.memory, n.scored.memory, n.allocatable.memory)
	if count == 0 {
		return 0
	}
	return sum / count
}

func (nodeResourcesFit) Relative() bool { return false }

func (nodeResourcesFit) Normalize(raw, _ int64) int64 { return raw }

// balancedAllocation prefers nodes whose CPU and memory will be used in like
// proportion.
type balancedAllocation struct{}

func (balancedAllocation) Name() string { return "NodeResourcesBalancedAllocation" }

func (balancedAllocation) Weight() int64 { return 1 }

func (balancedAllocation) Score(s *shape, n *node) int64 {
	if s.request.cpu == 0 && s.request.memory == 0 {
		return 0 // a pod that asks for nothing unbalances nothing
	}
	share := func(want, used, all int64) (float64, bool) {
		if all == 0 {
			return 0, false
		}
		return min(1, float64(want+used)/float64(all)), true
	}
	cpu, ok1 := share(s.request.cpu, n.requested.cpu, n.allocatable.cpu)
	mem, ok2 := share(s.request.memory, n.requested.memory, n.allocatable.memory)
	if !ok1 || !ok2 {
		return maxScore
	}
	// The standard deviation of two values is half their distance.
	return int64((1 - math.Abs(cpu-mem)/2) * maxScore)
}

func (balancedAllocation) Relative() bool { return false }

func (balancedAllocation) Normalize(raw, _ int64) int64 { return raw }
