package statefulset

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller/podstate"
)

// burst is how many pods of a parallel set one reconcile makes at the most.
const burst = 500

// template is a pod template with the name of its revision.
type template struct {
	revision string
	spec     *v1.PodTemplateSpec
}

// view is what a decision is made from.
type view struct {
	set             *appsv1.StatefulSet
	current, update template
	pods            []*v1.Pod // that the set owns
	claims          func(name string) *v1.PersistentVolumeClaim
	collisions      int32
	now             time.Time
	// settled: what was asked for before has been seen.
	settled bool
}

// plan is what one reconcile has to do, in this order.
type plan struct {
	// own are claims that get other owners.
	own []ownership
	// claims are pods that wait for claims, which are to be made.
	claims []*v1.Pod
	create []*v1.Pod
	// identify are pods that lack the labels of their identity.
	identify []*v1.Pod
	remove   []*v1.Pod
	status   appsv1.StatefulSetStatus
	// again is when time alone will change the answer, zero for never.
	again time.Duration
}

func decide(v view) plan {
	p := plan{status: v.observe()}
	for _, pod := range v.pods {
		if wait := podstate.AvailableIn(pod, v.set.Spec.MinReadySeconds, v.now); podstate.Ready(pod) && wait > 0 && (p.again == 0 || wait < p.again) {
			p.again = wait
		}
	}
	if v.set.DeletionTimestamp != nil || !v.settled {
		return p
	}
	replicas, condemned := v.sort()
	if v.grow(replicas, &p) && v.shrink(condemned, &p) && v.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		v.roll(replicas, &p)
	}
	return p
}

// sort parts the pods by whether their number is still wanted: the wanted by
// number, the others from the highest down. What has no number is nobody's.
func (v view) sort() (replicas map[int]*v1.Pod, condemned []*v1.Pod) {
	replicas = map[int]*v1.Pod{}
	for _, pod := range v.pods {
		switch n := ordinal(v.set, pod); {
		case n < 0:
		case v.wants(n):
			replicas[n] = pod
		default:
			condemned = append(condemned, pod)
		}
	}
	slices.SortFunc(condemned, func(a, b *v1.Pod) int { return cmp.Compare(ordinal(v.set, b), ordinal(v.set, a)) })
	return replicas, condemned
}

func (v view) wants(n int) bool {
	from := first(v.set)
	return n >= from && n < from+size(v.set)
}

func (v view) parallel() bool { return v.set.Spec.PodManagementPolicy == appsv1.ParallelPodManagement }

func (v view) available(p *v1.Pod) bool {
	return podstate.Ready(p) && podstate.AvailableIn(p, v.set.Spec.MinReadySeconds, v.now) == 0
}

// grow makes what is missing and puts right what is there, in order. It is
// false where what comes after has to wait.
func (v view) grow(replicas map[int]*v1.Pod, p *plan) bool {
	from := first(v.set)
	for n := from; n < from+size(v.set); n++ {
		pod := replicas[n]
		if pod == nil {
			pod = v.newPod(n)
			if v.stale(pod) {
				// The claims of the last pod of this number are on their way out.
				if v.parallel() {
					continue
				}
				return false
			}
			p.create = append(p.create, pod)
			if !v.parallel() || len(p.create) == burst {
				return false
			}
			continue
		}
		if podstate.Finished(pod) {
			if pod.DeletionTimestamp == nil {
				p.remove = append(p.remove, pod)
			}
			if !v.parallel() {
				return false
			}
			continue
		}
		if pod.Status.Phase == v1.PodPending && pod.DeletionTimestamp == nil && v.lacksClaims(pod) {
			p.claims = append(p.claims, pod)
		}
		if !v.parallel() && (pod.DeletionTimestamp != nil || !v.running(pod)) {
			return false
		}
		if pod.DeletionTimestamp == nil && !identified(pod) {
			p.identify = append(p.identify, pod)
		}
		p.own = append(p.own, v.owners(pod)...)
	}
	return true
}

func (v view) running(pod *v1.Pod) bool {
	return pod.Status.Phase == v1.PodRunning && v.available(pod)
}

// shrink removes what is no longer wanted, from the highest number down. It is
// false where what comes after has to wait.
func (v view) shrink(condemned []*v1.Pod, p *plan) bool {
	var lowestBad *v1.Pod // the first to be made among those that are not well
	for _, pod := range condemned {
		p.own = append(p.own, v.owners(pod)...)
		if pod.DeletionTimestamp != nil || !v.available(pod) {
			lowestBad = pod
		}
	}
	for _, pod := range condemned {
		switch {
		case v.parallel():
			if pod.DeletionTimestamp == nil {
				p.remove = append(p.remove, pod)
			}
		case pod.DeletionTimestamp != nil:
			return false
		case !v.running(pod) && pod != lowestBad:
			return false
		default:
			p.remove = append(p.remove, pod)
			return false
		}
	}
	return true
}

// roll replaces the pod with the highest number that is of another template,
// unless one above it is not available.
func (v view) roll(replicas map[int]*v1.Pod, p *plan) {
	// Pods are numbered from the first ordinal, the partition counts from zero.
	last := first(v.set) + partition(v.set)
	for n := first(v.set) + size(v.set) - 1; n >= last; n-- {
		pod := replicas[n]
		if pod == nil {
			return // it is being made
		}
		if pod.Labels[appsv1.StatefulSetRevisionLabel] != v.update.revision && pod.DeletionTimestamp == nil {
			if !slices.Contains(p.remove, pod) {
				p.remove = append(p.remove, pod)
			}
			return
		}
		if pod.DeletionTimestamp != nil || !v.available(pod) {
			return
		}
	}
}

// observe counts what there is.
func (v view) observe() appsv1.StatefulSetStatus {
	s := appsv1.StatefulSetStatus{
		ObservedGeneration: v.set.Generation, CurrentRevision: v.current.revision, UpdateRevision: v.update.revision,
		CollisionCount: &v.collisions, Conditions: v.set.Status.Conditions,
	}
	for _, pod := range v.pods {
		if ordinal(v.set, pod) < 0 {
			continue
		}
		s.Replicas++
		if pod.Status.Phase == v1.PodRunning && podstate.Ready(pod) {
			s.ReadyReplicas++
			if v.available(pod) {
				s.AvailableReplicas++
			}
		}
		if pod.DeletionTimestamp != nil {
			continue
		}
		// It counts as both where nothing is being updated.
		r := pod.Labels[appsv1.StatefulSetRevisionLabel]
		if r == v.current.revision {
			s.CurrentReplicas++
		}
		if r == v.update.revision {
			s.UpdatedReplicas++
		}
	}
	if n := int32(size(v.set)); v.set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType &&
		s.UpdatedReplicas == n && s.ReadyReplicas == n && s.Replicas == n {
		s.CurrentReplicas, s.CurrentRevision = s.UpdatedReplicas, s.UpdateRevision
	}
	return s
}

// first is the first number.
func first(set *appsv1.StatefulSet) int {
	if set.Spec.Ordinals == nil {
		return 0
	}
	return int(set.Spec.Ordinals.Start)
}

// size is how many pods are wanted.
func size(set *appsv1.StatefulSet) int {
	if set.Spec.Replicas == nil {
		return 1
	}
	return int(*set.Spec.Replicas)
}

func partition(set *appsv1.StatefulSet) int {
	r := set.Spec.UpdateStrategy.RollingUpdate
	if r == nil || r.Partition == nil {
		return 0
	}
	return int(*r.Partition)
}

// identified reports whether a pod carries the label by which services find it
// alone.
func identified(p *v1.Pod) bool { return p.Labels[appsv1.StatefulSetPodNameLabel] == p.Name }

// forgotten are the revisions beyond the limit, oldest first, of those that
// nothing is of. list is in that order.
func forgotten(v view, list []*appsv1.ControllerRevision) []*appsv1.ControllerRevision {
	live := map[string]bool{v.current.revision: true, v.update.revision: true}
	for _, p := range v.pods {
		live[p.Labels[appsv1.StatefulSetRevisionLabel]] = true
	}
	unused := slices.DeleteFunc(slices.Clone(list), func(r *appsv1.ControllerRevision) bool { return live[r.Name] })
	limit := 10
	if l := v.set.Spec.RevisionHistoryLimit; l != nil {
		limit = int(*l)
	}
	return unused[:max(0, len(unused)-max(0, limit))]
}

var podKind = v1.SchemeGroupVersion.WithKind("Pod")

// ownedBy reports how a claim refers to an object of a kind: by which uid, if
// it does.
func ownedBy(c *v1.PersistentVolumeClaim, apiVersion, kind, name string) *metav1.OwnerReference {
	for i := range c.OwnerReferences {
		if r := &c.OwnerReferences[i]; r.APIVersion == apiVersion && r.Kind == kind && r.Name == name {
			return r
		}
	}
	return nil
}
