package deployment

import (
	"cmp"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
)

// proportional sizes the sets to a deployment whose size has changed in the
// middle of a rollout, or that is paused: each set keeps its share, so that the
// risk of the rollout stays what it was. Where only one set has pods, or the
// new one is complete, it alone is sized.
func proportional(d *appsv1.Deployment, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []scaling {
	all := old
	if fresh != nil {
		all = append(slices.Clone(old), fresh)
	}
	var active []*appsv1.ReplicaSet
	for _, rs := range all {
		if sizeOf(rs) > 0 {
			active = append(active, rs)
		}
	}
	if only := onlyOrLatest(active, fresh, old); only != nil {
		if sizeOf(only) == wanted(d) && only.Annotations[desiredAnnotation] == strconv.Itoa(int(wanted(d))) {
			return nil
		}
		return []scaling{{only, wanted(d)}}
	}
	if fresh != nil && sizeOf(fresh) == wanted(d) && fresh.Status.AvailableReplicas == wanted(d) {
		var out []scaling
		for _, rs := range old {
			if sizeOf(rs) > 0 {
				out = append(out, scaling{rs, 0})
			}
		}
		return out
	}
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	return shares(d, active)
}

func onlyOrLatest(active []*appsv1.ReplicaSet, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	switch len(active) {
	case 0:
		if fresh != nil {
			return fresh
		}
		if len(old) > 0 {
			return slices.MaxFunc(old, func(a, b *appsv1.ReplicaSet) int {
				return cmp.Or(cmp.Compare(revisionOf(a.Annotations), revisionOf(b.Annotations)), older(a, b))
			})
		}
	case 1:
		return active[0]
	}
	return nil
}

// shares distributes what is to be added or taken over the active sets in
// proportion to their size; the largest set takes what rounding leaves.
func shares(d *appsv1.Deployment, active []*appsv1.ReplicaSet) []scaling {
	surge, _ := bounds(d)
	allowed := int32(0)
	if wanted(d) > 0 {
		allowed = wanted(d) + surge
	}
	add := allowed - sum(active, sizeOf)
	if add == 0 && !changedScale(d, active) {
		return nil
	}
	sorted := slices.SortedStableFunc(slices.Values(active), func(a, b *appsv1.ReplicaSet) int {
		order := -older(a, b) // the newest first when growing
		if add < 0 {
			order = older(a, b)
		}
		return cmp.Or(cmp.Compare(sizeOf(b), sizeOf(a)), order)
	})
	left := add
	out := make([]scaling, len(sorted))
	for i, rs := range sorted {
		out[i] = scaling{rs, sizeOf(rs)}
		if add == 0 {
			continue
		}
		n := shareOf(d, rs, allowed)
		if add > 0 {
			n = max(0, min(n, left))
		} else {
			n = min(0, max(n, left))
		}
		out[i].size += n
		left -= n
	}
	if len(out) > 0 {
		out[0].size = max(0, out[0].size+left)
	}
	return out
}

// shareOf is how much a set grows or shrinks, measured against what the whole
// deployment was allowed when the set was last sized.
func shareOf(d *appsv1.Deployment, rs *appsv1.ReplicaSet, allowed int32) int32 {
	if wanted(d) == 0 {
		return -sizeOf(rs)
	}
	before, err := strconv.ParseInt(rs.Annotations[maxAnnotation], 10, 32)
	if err != nil || before == 0 {
		before = int64(d.Status.Replicas)
		if before == 0 {
			return 0
		}
	}
	// Round half away from zero, as for any other share.
	x := 2*int64(sizeOf(rs))*int64(allowed) + before
	return int32(x/(2*before)) - sizeOf(rs)
}
