package resize

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Granted are the resources of one pod. Values are not changed once made.
type Granted struct {
	// Pod are those of the pod as a whole, if it has any of its own.
	Pod *v1.ResourceRequirements `json:"pod,omitempty"`
	// Containers are those of app and init containers, by name.
	Containers map[string]v1.ResourceRequirements `json:"containers"`
}

// Of returns what a pod's spec asks for.
func Of(p *v1.Pod) Granted {
	g := Granted{Pod: p.Spec.Resources, Containers: map[string]v1.ResourceRequirements{}}
	for c := range containers(p) {
		g.Containers[c.Name] = c.Resources
	}
	return g
}

// FromStatus returns what a pod had been granted and its containers given when its
// status was written, as far as the status tells; the rest is as the spec has it.
//
// A status that knows the spec and names no resize tells nothing new: its numbers
// may have been rounded by the runtime, which is no reason to touch a container.
func FromStatus(p *v1.Pod) (granted, given Granted) {
	granted = Of(p)
	given = granted.clone()
	if p.Status.ObservedGeneration >= p.Generation && !slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodResizePending || c.Type == v1.PodResizeInProgress
	}) {
		return granted, given
	}
	if s := p.Status.Resources; s != nil && p.Spec.Resources != nil {
		given.Pod = compute(p.Spec.Resources, s.Requests, s.Limits)
		granted.Pod = compute(p.Spec.Resources, p.Status.AllocatedResources, s.Limits)
	}
	for _, list := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			s := &list[i]
			spec, ok := granted.Containers[s.Name]
			if !ok || s.Resources == nil || s.State.Running == nil {
				continue
			}
			given.Containers[s.Name] = *compute(&spec, s.Resources.Requests, s.Resources.Limits)
			granted.Containers[s.Name] = *compute(&spec, s.AllocatedResources, s.Resources.Limits)
		}
	}
	return granted, given
}

// compute returns r with the given CPU and memory.
func compute(r *v1.ResourceRequirements, requests, limits v1.ResourceList) *v1.ResourceRequirements {
	out := *r
	out.Requests, out.Limits = maps.Clone(r.Requests), maps.Clone(r.Limits)
	for _, name := range resizable {
		put(&out.Requests, name, requests)
		put(&out.Limits, name, limits)
	}
	return &out
}

// put makes the named entry of a list what it is in another, or removes it.
func put(to *v1.ResourceList, name v1.ResourceName, from v1.ResourceList) {
	q, ok := from[name]
	switch {
	case !ok:
		delete(*to, name)
	case *to == nil:
		*to = v1.ResourceList{name: q}
	default:
		(*to)[name] = q
	}
}

// resizable are the resources that can be changed in a running pod.
var resizable = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}

// containers yields the containers that have resources of their own.
func containers(p *v1.Pod) func(yield func(*v1.Container) bool) {
	return func(yield func(*v1.Container) bool) {
		for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

func find(p *v1.Pod, name string) *v1.Container {
	for c := range containers(p) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (g Granted) clone() Granted {
	return Granted{Pod: g.Pod, Containers: maps.Clone(g.Containers)}
}

// With returns g with what one container has.
func (g Granted) With(name string, r v1.ResourceRequirements) Granted {
	out := g.clone()
	out.Containers[name] = r
	return out
}

// WithPod returns g with what the pod as a whole has.
func (g Granted) WithPod(r *v1.ResourceRequirements) Granted {
	return Granted{Pod: r, Containers: g.Containers}
}

// Apply returns the pod with these resources in place of its own: the same pod if
// they do not differ. Containers that g does not know keep theirs.
func (g Granted) Apply(p *v1.Pod) *v1.Pod {
	differs := !samePointed(g.Pod, p.Spec.Resources)
	for c := range containers(p) {
		r, ok := g.Containers[c.Name]
		differs = differs || ok && !same(r, c.Resources)
	}
	if !differs {
		return p
	}
	out := *p
	out.Spec.Resources = g.Pod
	replace := func(list []v1.Container) []v1.Container {
		list = slices.Clone(list)
		for i := range list {
			if r, ok := g.Containers[list[i].Name]; ok {
				list[i].Resources = r
			}
		}
		return list
	}
	out.Spec.InitContainers, out.Spec.Containers = replace(p.Spec.InitContainers), replace(p.Spec.Containers)
	return &out
}

// Same tells whether two versions of a pod have the same CPU and memory.
func Same(a, b *v1.Pod) bool {
	if a == b {
		return true
	}
	lists := func(a, b []v1.Container) bool {
		return slices.EqualFunc(a, b, func(a, b v1.Container) bool { return same(a.Resources, b.Resources) })
	}
	return samePointed(a.Spec.Resources, b.Spec.Resources) && lists(a.Spec.InitContainers, b.Spec.InitContainers) && lists(a.Spec.Containers, b.Spec.Containers)
}

func samePointed(a, b *v1.ResourceRequirements) bool {
	if a == nil || b == nil {
		return a == b
	}
	return same(*a, *b)
}

// same compares CPU and memory. What is not there is nothing.
func same(a, b v1.ResourceRequirements) bool {
	for _, name := range resizable {
		if !equal(a.Requests, b.Requests, name) || !equal(a.Limits, b.Limits, name) {
			return false
		}
	}
	return true
}

func equal(a, b v1.ResourceList, name v1.ResourceName) bool {
	x, y := a[name], b[name]
	return x.Cmp(y) == 0
}

// Grows tells whether the pod would ask for more than it is granted.
func (g Granted) Grows(wanted *v1.Pod) bool {
	now, then := requests(g.Apply(wanted)), requests(wanted)
	return slices.ContainsFunc(resizable, func(name v1.ResourceName) bool {
		a, b := now[name], then[name]
		return b.Cmp(a) > 0
	})
}

// Differs tells whether a running container has other resources than the pod that
// was granted says.
func (g Granted) Differs(granted *v1.Pod, name string) bool {
	now, ok := g.Containers[name]
	c := find(granted, name)
	return ok && c != nil && !same(effective(g.Pod, now), effective(granted.Spec.Resources, c.Resources))
}

// effective are a container's resources with the limits that it has from the pod.
func effective(whole *v1.ResourceRequirements, r v1.ResourceRequirements) v1.ResourceRequirements {
	if whole == nil {
		return r
	}
	out := r
	out.Limits = maps.Clone(r.Limits)
	for _, name := range resizable {
		if q, ok := whole.Limits[name]; ok && zero(r.Limits, name) {
			if out.Limits == nil {
				out.Limits = v1.ResourceList{}
			}
			out.Limits[name] = q
		}
	}
	return out
}

func zero(l v1.ResourceList, name v1.ResourceName) bool {
	q := l[name]
	return q.IsZero()
}

// Restarts tells whether a container has to start anew to get what it was granted,
// by its policy for a resource that changes.
func (g Granted) Restarts(granted *v1.Pod, c *v1.Container) bool {
	now, ok := g.Containers[c.Name]
	if !ok {
		return false
	}
	have, want := effective(g.Pod, now), effective(granted.Spec.Resources, c.Resources)
	return slices.ContainsFunc(c.ResizePolicy, func(p v1.ContainerResizePolicy) bool {
		return p.RestartPolicy == v1.RestartContainer &&
			(!equal(have.Requests, want.Requests, p.ResourceName) || !equal(have.Limits, want.Limits, p.ResourceName))
	})
}

// Ceiling returns the pod with as much as it was granted or its containers were
// given, whichever is more: what its cgroup must have room for while containers
// change one after another. A limit that is missing on one side is missing.
func Ceiling(granted *v1.Pod, given Granted) *v1.Pod {
	if given.Apply(granted) == granted {
		return granted
	}
	top := Of(granted)
	for name, r := range top.Containers {
		if now, ok := given.Containers[name]; ok {
			top.Containers[name] = larger(r, now)
		}
	}
	if top.Pod != nil && given.Pod != nil {
		most := larger(*top.Pod, *given.Pod)
		top.Pod = &most
	}
	return top.Apply(granted)
}

func larger(a, b v1.ResourceRequirements) v1.ResourceRequirements {
	out := a
	out.Requests, out.Limits = maps.Clone(a.Requests), maps.Clone(a.Limits)
	for _, name := range resizable {
		if q, ok := b.Requests[name]; ok && more(q, a.Requests[name]) {
			put(&out.Requests, name, b.Requests)
		}
		switch q, ok := b.Limits[name]; {
		case !ok || q.IsZero():
			delete(out.Limits, name)
		case !zero(a.Limits, name) && more(q, a.Limits[name]):
			put(&out.Limits, name, b.Limits)
		}
	}
	return out
}

func more(a, b resource.Quantity) bool { return a.Cmp(b) > 0 }
