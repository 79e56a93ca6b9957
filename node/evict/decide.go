package evict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"proa/node/admit"
)

// Level is what is left of something.
type Level struct{ Available, Capacity int64 }

// Usage is what a pod uses, by container.
type Usage struct {
	Pod *v1.Pod
	// Memory and Disk in bytes, and Inodes, by container name; the disk space of
	// volumes is under the empty name.
	Memory, Disk, Inodes map[string]int64
	Processes            int64
}

// State is what is remembered from one decision to the next. The zero value is a
// node that has just started.
type State struct {
	// PassedSince is since when each threshold has been passed without a break, by
	// its position.
	PassedSince map[int]time.Time
	// SeenAt is when a condition was last true.
	SeenAt map[v1.NodeConditionType]time.Time
}

// Plan is what to do.
type Plan struct {
	State State
	// Conditions that hold: pressure goes on for a while after its end, so that
	// the node does not flap.
	Conditions map[v1.NodeConditionType]bool
	// ReclaimImages asks for unused images to be removed before any pod is ended.
	ReclaimImages bool
	// Threshold that is to be met again by ending a pod; nil if none is.
	Threshold *Threshold
	Level     Level
}

// condition that a signal stands for.
func (s Signal) condition() v1.NodeConditionType {
	switch {
	case s == Memory:
		return v1.NodeMemoryPressure
	case s == Processes:
		return v1.NodePIDPressure
	}
	return v1.NodeDiskPressure
}

// Decide compares levels with thresholds. hold is how long a condition outlasts
// its cause.
func Decide(levels map[Signal]Level, thresholds []Threshold, before State, hold time.Duration, now time.Time) Plan {
	p := Plan{
		State:      State{PassedSince: map[int]time.Time{}, SeenAt: map[v1.NodeConditionType]time.Time{}},
		Conditions: map[v1.NodeConditionType]bool{},
	}
	for c, at := range before.SeenAt {
		p.State.SeenAt[c] = at
	}
	for i := range thresholds {
		t := &thresholds[i]
		l, known := levels[t.Signal]
		if !known || l.Available >= t.Least(l.Capacity) {
			continue
		}
		since, ok := before.PassedSince[i]
		if !ok {
			since = now
		}
		p.State.PassedSince[i] = since
		p.State.SeenAt[t.Signal.condition()] = now
		if now.Sub(since) < t.Grace {
			continue
		}
		if t.Signal.isDisk() {
			p.ReclaimImages = true
		}
		if p.Threshold == nil {
			p.Threshold, p.Level = t, l
		}
	}
	for c, at := range p.State.SeenAt {
		if now.Sub(at) < hold || at.Equal(now) {
			p.Conditions[c] = true
		} else {
			delete(p.State.SeenAt, c)
		}
	}
	return p
}

// Rank orders pods, those to end first at the front: pods that use more than they
// requested, of the lowest priority, that exceed their request the most. Pods the
// node cannot do without are left out.
func Rank(s Signal, pods []Usage) []Usage {
	out := slices.DeleteFunc(slices.Clone(pods), func(u Usage) bool { return admit.IsCritical(u.Pod) })
	excess := func(u Usage) int64 { return u.total(s) - u.requested(s) }
	slices.SortStableFunc(out, func(a, b Usage) int {
		over := func(u Usage) int {
			if excess(u) > 0 {
				return 0
			}
			return 1
		}
		if s == Processes || s.resource() == resourceInodes {
			// Nothing can be requested of these.
			return cmp.Or(cmp.Compare(priority(a.Pod), priority(b.Pod)), cmp.Compare(b.total(s), a.total(s)))
		}
		return cmp.Or(cmp.Compare(over(a), over(b)), cmp.Compare(priority(a.Pod), priority(b.Pod)), cmp.Compare(excess(b), excess(a)))
	})
	return out
}

func priority(p *v1.Pod) int32 {
	if p.Spec.Priority != nil {
		return *p.Spec.Priority
	}
	return 0
}

// of returns the pod's use by container.
func (u Usage) of(s Signal) map[string]int64 {
	switch {
	case s == Memory:
		return u.Memory
	case s.resource() == resourceInodes:
		return u.Inodes
	case s == Processes:
		return nil
	}
	return u.Disk
}

func (u Usage) total(s Signal) int64 {
	if s == Processes {
		return u.Processes
	}
	var sum int64
	for _, n := range u.of(s) {
		sum += n
	}
	return sum
}

func (u Usage) requested(s Signal) int64 {
	q := resourcehelper.PodRequests(u.Pod, resourcehelper.PodResourcesOptions{})[s.resource()]
	return q.Value()
}

// Message explains to the owner of a pod why it was ended.
func Message(t Threshold, l Level, u Usage) string {
	quantity := func(n int64) string {
		if t.Signal.resource() == resourceInodes || t.Signal == Processes {
			return fmt.Sprint(n)
		}
		return resource.NewQuantity(n, resource.BinarySI).String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ", t.Signal.resource(), quantity(t.Least(l.Capacity)), quantity(l.Available))
	for i := range u.Pod.Spec.Containers {
		c := &u.Pod.Spec.Containers[i]
		used, known := u.of(t.Signal)[c.Name]
		request := c.Resources.Requests[t.Signal.resource()]
		if known && used > request.Value() {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %s. ", c.Name, quantity(used), request.String(), t.Signal.resource())
		}
	}
	return b.String()
}
