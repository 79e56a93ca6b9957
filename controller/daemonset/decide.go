package daemonset

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"proa/controller/podstate"
)

// templateGeneration is the label by which older controllers told templates
// apart.
const templateGeneration = "pod-template-generation"

// burst is how many pods one reconcile makes, and removes, at the most.
const burst = 250

// view is what a decision is made from.
type view struct {
	set   *appsv1.DaemonSet
	nodes []*v1.Node
	pods  []*v1.Pod // that the set owns
	// hash of the present template, which pods of it carry.
	hash string
	now  time.Time
	// settled: what was asked for before has been seen.
	settled bool
	// failing is how long a failed pod on a node must still be left alone.
	failing func(node string) time.Duration
}

// plan is what one reconcile has to do.
type plan struct {
	create []string // names of nodes
	remove []removal
	status appsv1.DaemonSetStatus
	// again is when time alone will change the answer, zero for never.
	again time.Duration
}

// removal is a pod to be deleted, with the event that says why, if any.
type removal struct {
	pod *v1.Pod
	// failed and succeeded pods are replaced.
	failed, succeeded bool
}

// place is a node with its pods.
type place struct {
	name string
	node *v1.Node // nil where there is none of that name
	fit  fit
	pods []*v1.Pod // scheduled and old ones first
}

func decide(v view) plan {
	places := v.places()
	p := plan{status: v.observe(places)}
	for _, pod := range v.pods {
		if wait := podstate.AvailableIn(pod, v.set.Spec.MinReadySeconds, v.now); podstate.Ready(pod) && wait > 0 {
			p.wait(wait)
		}
	}
	if !v.settled {
		return p
	}
	for _, at := range places {
		v.manage(at, &p)
	}
	if len(p.create) == 0 && len(p.remove) == 0 && v.set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		v.roll(places, &p)
	}
	p.create = p.create[:min(len(p.create), burst)]
	p.remove = p.remove[:min(len(p.remove), burst)]
	return p
}

func (p *plan) wait(d time.Duration) {
	if p.again == 0 || d < p.again {
		p.again = d
	}
}

// places groups the pods by node, in order of the nodes' names. A pod that is
// finished and being deleted is left to whoever still holds it.
func (v view) places() []*place {
	byName := map[string]*place{}
	m := newMatcher(v.set)
	for _, n := range v.nodes {
		byName[n.Name] = &place{name: n.Name, node: n, fit: m.fit(n)}
	}
	for _, pod := range v.pods {
		if podstate.Finished(pod) && pod.DeletionTimestamp != nil {
			continue
		}
		name := target(pod)
		if name == "" {
			continue // nobody knows where it will run
		}
		if byName[name] == nil {
			byName[name] = &place{name: name}
		}
		byName[name].pods = append(byName[name].pods, pod)
	}
	list := make([]*place, 0, len(byName))
	for _, at := range byName {
		slices.SortFunc(at.pods, func(a, b *v1.Pod) int {
			return cmp.Or(unscheduled(a)-unscheduled(b), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b *place) int { return cmp.Compare(a.name, b.name) })
	return list
}

func unscheduled(p *v1.Pod) int {
	if p.Spec.NodeName == "" {
		return 1
	}
	return 0
}

// observe counts what there is. The oldest pod stands for its node.
func (v view) observe(places []*place) appsv1.DaemonSetStatus {
	s := *v.set.Status.DeepCopy()
	s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberMisscheduled = 0, 0, 0
	s.NumberReady, s.NumberAvailable, s.UpdatedNumberScheduled = 0, 0, 0
	for _, at := range places {
		if at.node == nil {
			continue
		}
		if at.fit != runs {
			if len(at.pods) > 0 {
				s.NumberMisscheduled++
			}
			continue
		}
		s.DesiredNumberScheduled++
		if len(at.pods) == 0 {
			continue
		}
		s.CurrentNumberScheduled++
		pod := at.pods[0]
		if podstate.Ready(pod) {
			s.NumberReady++
			if v.available(pod) {
				s.NumberAvailable++
			}
		}
		if v.updated(pod) {
			s.UpdatedNumberScheduled++
		}
	}
	s.NumberUnavailable = s.DesiredNumberScheduled - s.NumberAvailable
	if v.settled {
		s.ObservedGeneration = v.set.Generation
	}
	return s
}

func (v view) available(p *v1.Pod) bool {
	return podstate.Ready(p) && podstate.AvailableIn(p, v.set.Spec.MinReadySeconds, v.now) == 0
}

// updated reports whether a pod is of the present template: by its hash, or by
// the generation of the template, which older controllers counted.
func (v view) updated(p *v1.Pod) bool {
	if p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == v.hash {
		return true
	}
	g := v.set.Annotations[appsv1.DeprecatedTemplateGeneration]
	return g != "" && p.Labels[templateGeneration] == g
}

// manage settles one node: a pod that is missing, those that are too many, and
// those that have ended.
func (v view) manage(at *place, p *plan) {
	if at.node == nil {
		// A node that was never there is not waited for. What did run on one is
		// the business of the pod garbage collector.
		for _, pod := range at.pods {
			if pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
				p.remove = append(p.remove, removal{pod: pod})
			}
		}
		return
	}
	switch {
	case at.fit == no:
		for _, pod := range at.pods {
			if pod.DeletionTimestamp == nil {
				p.remove = append(p.remove, removal{pod: pod})
			}
		}
		return
	case at.fit == runs && len(at.pods) == 0:
		p.create = append(p.create, at.name)
		return
	}
	var running []*v1.Pod
	for _, pod := range at.pods {
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Status.Phase == v1.PodFailed:
			if wait := v.failing(at.name); wait > 0 {
				p.wait(wait)
			} else {
				p.remove = append(p.remove, removal{pod: pod, failed: true})
			}
		case pod.Status.Phase == v1.PodSucceeded:
			p.remove = append(p.remove, removal{pod: pod, succeeded: true})
		default:
			running = append(running, pod)
		}
	}
	switch {
	case !v.surges():
		for _, pod := range running[min(1, len(running)):] {
			p.remove = append(p.remove, removal{pod: pod})
		}
	case len(running) == 0 && at.fit == runs:
		p.create = append(p.create, at.name)
	case len(running) > 1:
		v.prune(running, p)
	}
}

// prune leaves one pod of a node, or two while a new one takes over from an old
// one that is ready.
func (v view) prune(running []*v1.Pod, p *plan) {
	var fresh, old *v1.Pod
	for _, pod := range running {
		switch isNew := pod.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == v.hash; {
		case isNew && fresh == nil:
			fresh = pod
		case !isNew && old == nil:
			old = pod
		default:
			p.remove = append(p.remove, removal{pod: pod})
		}
	}
	if fresh != nil && old != nil && (!podstate.Ready(old) || v.available(fresh)) {
		p.remove = append(p.remove, removal{pod: old})
	}
}

func (v view) surges() bool { return v.surge(1) > 0 }

// surge is how many nodes, of n, may have a second pod during an update. What
// is no number is none; validation has refused it.
func (v view) surge(n int) int {
	r := v.set.Spec.UpdateStrategy.RollingUpdate
	if v.set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || r == nil || r.MaxSurge == nil {
		return 0
	}
	s, err := intstr.GetScaledValueFromIntOrPercent(r.MaxSurge, n, true)
	if err != nil {
		return 0
	}
	return s
}

func (v view) unavailable(n int) int {
	r := v.set.Spec.UpdateStrategy.RollingUpdate
	if r == nil || r.MaxUnavailable == nil {
		return 0
	}
	u, err := intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, n, true)
	if err != nil {
		return 0
	}
	return u
}
