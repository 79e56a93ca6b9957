package deployment

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// plan is what one reconcile has to do.
type plan struct {
	// create a replica set of the present template, of this size.
	create   bool
	replicas int32
	// revision that the new set has, or gets.
	revision int64
	// scale sets to new sizes, in order.
	scale []scaling
	// remove old sets that history does not keep.
	remove []*appsv1.ReplicaSet
	// status to be written, where it differs from the present one.
	status appsv1.DeploymentStatus
	// again is when time alone changes the answer, zero for never.
	again time.Duration
}

type scaling struct {
	set  *appsv1.ReplicaSet
	size int32
}

// view is the state that a decision is made from.
type view struct {
	d    *appsv1.Deployment
	sets []*appsv1.ReplicaSet
	// oldPods: pods of old sets still exist (Recreate waits for them).
	oldPods bool
	now     time.Time
}

func decide(v *view) plan {
	d := v.d
	if d.DeletionTimestamp != nil {
		return plan{status: observe(v, newSet(d, v.sets), nil)}
	}
	fresh := newSet(d, v.sets)
	old := slices.DeleteFunc(slices.Clone(v.sets), func(rs *appsv1.ReplicaSet) bool { return fresh != nil && rs.UID == fresh.UID })
	p := plan{revision: nextRevision(fresh, old)}
	switch {
	case d.Spec.Paused, changedScale(d, v.sets):
		p.scale = proportional(d, fresh, old)
		if d.Spec.Paused {
			p.remove = history(d, fresh, old)
		}
	case d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		p.recreate(v, fresh, old)
	default:
		p.roll(v, fresh, old)
	}
	if fresh == nil && !p.create {
		p.revision = 0
	}
	if !d.Spec.Paused && len(p.scale) == 0 && !p.create && complete(d, v.sets, fresh) {
		p.remove = history(d, fresh, old)
	}
	p.status = observe(v, fresh, &p)
	return p
}

// newSet is the oldest set with the deployment's present template.
func newSet(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var found *appsv1.ReplicaSet
	for _, rs := range sets {
		if sameTemplate(&rs.Spec.Template, &d.Spec.Template) && (found == nil || older(rs, found) < 0) {
			found = rs
		}
	}
	return found
}

func older(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// nextRevision is one more than the largest of the old sets; a set that has it
// already keeps it.
func nextRevision(fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) int64 {
	var largest int64
	for _, rs := range old {
		largest = max(largest, revisionOf(rs.Annotations))
	}
	if fresh != nil {
		return max(revisionOf(fresh.Annotations), largest+1)
	}
	return largest + 1
}

func sizeOf(rs *appsv1.ReplicaSet) int32 {
	if rs == nil {
		return 0
	}
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

func wanted(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func sum(sets []*appsv1.ReplicaSet, f func(*appsv1.ReplicaSet) int32) (n int32) {
	for _, rs := range sets {
		if rs != nil {
			n += f(rs)
		}
	}
	return n
}

func availableOf(rs *appsv1.ReplicaSet) int32 { return rs.Status.AvailableReplicas }

// bounds are the most pods above and the most missing below the wanted number
// during a rolling update. They are never both zero.
func bounds(d *appsv1.Deployment) (surge, unavailable int32) {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType || wanted(d) == 0 {
		return 0, 0
	}
	r := d.Spec.Strategy.RollingUpdate
	if r == nil {
		return 0, 1
	}
	value := func(v *intstr.IntOrString, up bool) int32 {
		if v == nil {
			return 0
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(v, int(wanted(d)), up)
		if err != nil {
			return 0 // validation lets only numbers and percentages through
		}
		return int32(n)
	}
	surge, unavailable = value(r.MaxSurge, true), value(r.MaxUnavailable, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, wanted(d))
}

// changedScale reports whether the deployment's size has changed since its sets
// were last sized: that is answered in proportion before the rollout goes on.
func changedScale(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) bool {
	for _, rs := range sets {
		if sizeOf(rs) == 0 {
			continue
		}
		desired, err := strconv.ParseInt(rs.Annotations[desiredAnnotation], 10, 32)
		if err == nil && int32(desired) != wanted(d) {
			return true
		}
	}
	return false
}

// recreate ends all old pods before it makes new ones.
func (p *plan) recreate(v *view, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	for _, rs := range old {
		if sizeOf(rs) > 0 {
			p.scale = append(p.scale, scaling{rs, 0})
		}
	}
	if len(p.scale) > 0 || v.oldPods {
		return
	}
	p.setNew(fresh, wanted(v.d))
}

func (p *plan) setNew(fresh *appsv1.ReplicaSet, size int32) {
	switch {
	case fresh == nil:
		p.create, p.replicas = true, size
	case sizeOf(fresh) != size:
		p.scale = append(p.scale, scaling{fresh, size})
	}
}

// roll shifts replicas to the new set: first it grows as far as maxSurge lets
// it, then the old sets shrink as far as maxUnavailable lets them.
func (p *plan) roll(v *view, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	d, want := v.d, wanted(v.d)
	surge, unavailable := bounds(d)
	total := sum(old, sizeOf) + sizeOf(fresh)
	size := sizeOf(fresh)
	switch {
	case size > want:
		size = want
	case size < want:
		size += min(max(0, want+surge-total), want-size)
	}
	if fresh == nil || size != sizeOf(fresh) {
		p.setNew(fresh, size)
		return // one step at a time: the next follows when this one is seen
	}
	p.shrink(d, fresh, old, unavailable)
}

// shrink takes from the old sets: pods that do not run well first, since they
// are no loss, then as many of the others as may be missing.
func (p *plan) shrink(d *appsv1.Deployment, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet, unavailable int32) {
	if sum(old, sizeOf) == 0 {
		return
	}
	least := wanted(d) - unavailable
	total := sum(old, sizeOf) + sizeOf(fresh)
	spare := total - least - (sizeOf(fresh) - fresh.Status.AvailableReplicas)
	if spare <= 0 {
		return
	}
	sorted := slices.SortedStableFunc(slices.Values(old), older)
	size := map[*appsv1.ReplicaSet]int32{}
	for _, rs := range sorted {
		size[rs] = sizeOf(rs)
		if ill := sizeOf(rs) - availableOf(rs); ill > 0 && spare > 0 {
			n := min(ill, spare)
			size[rs] -= n
			spare -= n
		}
	}
	removable := sum(old, availableOf) + fresh.Status.AvailableReplicas - least
	for _, rs := range sorted {
		if n := min(size[rs], removable); n > 0 {
			size[rs] -= n
			removable -= n
		}
	}
	for _, rs := range sorted {
		if size[rs] != sizeOf(rs) {
			p.scale = append(p.scale, scaling{rs, size[rs]})
		}
	}
}

// history returns the old sets that are finished and more than the deployment
// keeps, the oldest first.
func history(d *appsv1.Deployment, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	if d.Spec.RevisionHistoryLimit == nil {
		return nil
	}
	var done []*appsv1.ReplicaSet
	for _, rs := range old {
		if rs.DeletionTimestamp == nil {
			done = append(done, rs)
		}
	}
	excess := len(done) - int(*d.Spec.RevisionHistoryLimit)
	if excess <= 0 {
		return nil
	}
	slices.SortStableFunc(done, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revisionOf(a.Annotations), revisionOf(b.Annotations)), older(a, b))
	})
	return slices.DeleteFunc(done[:excess], func(rs *appsv1.ReplicaSet) bool {
		return rs.Status.Replicas != 0 || sizeOf(rs) != 0 || rs.Generation > rs.Status.ObservedGeneration
	})
}

// complete reports whether only pods of the new set exist, all available.
func complete(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, fresh *appsv1.ReplicaSet) bool {
	return fresh != nil && fresh.Status.Replicas == wanted(d) && fresh.Status.AvailableReplicas == wanted(d) &&
		sum(sets, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas }) == wanted(d) &&
		d.Status.ObservedGeneration >= d.Generation
}

func conditionOf(d *appsv1.Deployment, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == t {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}
