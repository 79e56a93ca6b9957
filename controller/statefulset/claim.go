package statefulset

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func claimName(set *appsv1.StatefulSet, template string, n int) string {
	return fmt.Sprintf("%s-%s-%d", template, set.Name, n)
}

// claimsOf makes the claims of a pod.
func claimsOf(set *appsv1.StatefulSet, pod *v1.Pod) []*v1.PersistentVolumeClaim {
	n := ordinal(set, pod)
	var list []*v1.PersistentVolumeClaim
	for i := range set.Spec.VolumeClaimTemplates {
		c := set.Spec.VolumeClaimTemplates[i].DeepCopy()
		c.Name, c.Namespace = claimName(set, c.Name, n), set.Namespace
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		if set.Spec.Selector != nil {
			maps.Copy(c.Labels, set.Spec.Selector.MatchLabels)
		}
		list = append(list, c)
	}
	return list
}

func (v view) lacksClaims(pod *v1.Pod) bool {
	return slices.ContainsFunc(claimsOf(v.set, pod), func(c *v1.PersistentVolumeClaim) bool { return v.claims(c.Name) == nil })
}

func retention(set *appsv1.StatefulSet) (deletedWithSet, deletedWhenScaled bool) {
	p := set.Spec.PersistentVolumeClaimRetentionPolicy
	if p == nil {
		return false, false
	}
	const del = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	return p.WhenDeleted == del, p.WhenScaled == del
}

// stale reports whether a pod that is to be made would get a claim that is
// about to be deleted with an earlier pod of its name.
func (v view) stale(pod *v1.Pod) bool {
	if _, scaled := retention(v.set); !scaled {
		return false
	}
	return slices.ContainsFunc(claimsOf(v.set, pod), func(c *v1.PersistentVolumeClaim) bool {
		is := v.claims(c.Name)
		return is != nil && ownedBy(is, podKind.GroupVersion().String(), podKind.Kind, pod.Name) != nil
	})
}

// ownership is a claim with the owners that it is to have. conflict says that
// somebody else controls it, so that the retention policy is not applied.
type ownership struct {
	claim    *v1.PersistentVolumeClaim
	owners   []metav1.OwnerReference
	conflict bool
}

// owners says which claims of a pod have other owners than the retention policy
// wants. A claim that refers to a set or pod of the same name and another uid
// is left to the garbage collector.
func (v view) owners(pod *v1.Pod) []ownership {
	var list []ownership
	for _, t := range claimsOf(v.set, pod) {
		if is := v.claims(t.Name); is != nil {
			if o, change := v.ownersOf(is, pod); change {
				list = append(list, o)
			}
		}
	}
	return list
}

func (v view) ownersOf(c *v1.PersistentVolumeClaim, pod *v1.Pod) (ownership, bool) {
	set, one := ownedBy(c, kind.GroupVersion().String(), kind.Kind, v.set.Name), ownedBy(c, podKind.GroupVersion().String(), podKind.Kind, pod.Name)
	if set != nil && set.UID != v.set.UID || one != nil && one.UID != pod.UID {
		return ownership{}, false
	}
	withSet, scaled := retention(v.set)
	wantPod := scaled && !v.wants(ordinal(v.set, pod))
	wantSet := withSet && !wantPod
	others := slices.DeleteFunc(slices.Clone(c.OwnerReferences), func(r metav1.OwnerReference) bool { return r.UID == v.set.UID || r.UID == pod.UID })
	if (withSet || scaled) && slices.ContainsFunc(others, func(r metav1.OwnerReference) bool { return r.Controller != nil && *r.Controller }) {
		return ownership{claim: c, owners: others, conflict: true}, set != nil || one != nil
	}
	if owns(set) == wantSet && owns(one) == wantPod && (set == nil) != wantSet && (one == nil) != wantPod {
		return ownership{}, false
	}
	if wantSet {
		others = append(others, *metav1.NewControllerRef(v.set, kind))
	}
	if wantPod {
		others = append(others, *metav1.NewControllerRef(pod, podKind))
	}
	return ownership{claim: c, owners: others}, true
}

// owns reports whether a reference is one of a controller.
func owns(r *metav1.OwnerReference) bool { return r != nil && r.Controller != nil && *r.Controller }
