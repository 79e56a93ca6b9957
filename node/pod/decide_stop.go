package pod

import "time"

// decideStop ends a pod: app and debug containers at once, sidecars in reverse
// order when everything that may need them is gone, or when the grace period is
// over, then the sandbox.
func decideStop(in Input) Plan {
	var plan Plan
	deadline := in.Stop.Deadline()
	order := map[string]int{}
	for i := range in.Pod.Spec.InitContainers {
		if c := &in.Pod.Spec.InitContainers[i]; IsSidecar(c) {
			order[c.Name] = i + 1
		}
	}

	// dependents is true while something runs that the sidecar at position n may
	// have to outlive.
	running := map[int]bool{}
	anything := false
	for i := range in.Observed.Containers {
		if c := &in.Observed.Containers[i]; c.State == Running || c.State == Unknown {
			running[order[c.Name]] = true
			anything = true
		}
	}
	dependents := func(n int) bool {
		for pos := range running {
			if pos == 0 || pos > n {
				return true
			}
		}
		return false
	}

	for i := range in.Observed.Containers {
		c := &in.Observed.Containers[i]
		if c.State != Running && c.State != Unknown {
			continue
		}
		if n := order[c.Name]; n > 0 && dependents(n) && in.Now.Before(deadline) {
			plan.wakeAt(deadline)
			continue
		}
		by := deadline
		if least := in.Now.Add(MinGrace); by.Before(least) {
			by = least
		}
		// A stop under way is repeated only to shorten it noticeably.
		if under, ok := in.Busy.Stopping[c.ID]; ok && !by.Before(under.Add(-time.Second)) {
			continue
		}
		plan.add(Action{Verb: StopContainer, ID: c.ID, Name: c.Name, Deadline: by})
	}
	if anything || !in.Busy.idle() {
		return plan
	}
	for i := range in.Observed.Sandboxes {
		if s := &in.Observed.Sandboxes[i]; s.Ready {
			plan.add(Action{Verb: StopSandbox, ID: s.ID})
		}
	}
	plan.Stopped = len(plan.Actions) == 0
	return plan
}
