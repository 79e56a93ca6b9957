package resourceclaim

import (
	"errors"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	claims "k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/utils/ptr"

	"proa/controller/podstate"
)

// podPlan is what is to be done for a pod.
type podPlan struct {
	// create are those of the pod's claims that have to be made.
	create []v1.PodResourceClaim
	// names are the claims that the pod's status lacks, by the names that the
	// pod has for them.
	names map[string]string
	// reserve are claims that the pod uses and that do not know of it.
	reserve []*resourcev1.ResourceClaim
}

// decidePod says what a pod needs. Claims are looked up by name with get, and by
// the pod's name for them, among those that were made for the pod, with made.
func decidePod(p *v1.Pod, get func(name string) *resourcev1.ResourceClaim, made func(podClaim string) string) (podPlan, error) {
	plan := podPlan{names: map[string]string{}}
	if p.DeletionTimestamp != nil {
		return plan, nil
	}
	for _, k := range p.Spec.ResourceClaims {
		name, owned, err := claims.Name(p, &k)
		if err != nil && !errors.Is(err, claims.ErrClaimNotFound) {
			return plan, err
		}
		if err == nil && name == nil {
			continue // the pod can do without it
		}
		var claim *resourcev1.ResourceClaim
		if err == nil {
			claim = get(*name)
		}
		if claim != nil && owned && !metav1.IsControlledBy(claim, p) {
			claim = nil // another's that has the name; the pod needs its own
		}
		if claim == nil {
			if k.ResourceClaimTemplateName == nil {
				continue // somebody has to make it
			}
			if has := made(k.Name); has == "" {
				plan.create = append(plan.create, k)
			} else if name == nil || *name != has {
				plan.names[k.Name] = has
			}
			continue
		}
		if p.Spec.NodeName != "" && claim.Status.Allocation != nil && !claims.IsReservedForPod(p, claim, false) && claims.CanBeReserved(claim) && !done(p) {
			plan.reserve = append(plan.reserve, claim)
		}
	}
	return plan, nil
}

// newClaim is made of a template for a pod.
func newClaim(p *v1.Pod, podClaim string, t *resourcev1.ResourceClaimTemplate) *resourcev1.ResourceClaim {
	annotations := maps.Clone(t.Spec.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resourcev1.PodResourceClaimAnnotation] = podClaim
	return &resourcev1.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, GenerateName: generateName(p.Name, podClaim), Labels: maps.Clone(t.Spec.Labels), Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID, Controller: ptr.To(true)}},
		},
		Spec: *t.Spec.Spec.DeepCopy(),
	}
}

// generateName leaves something of both names where they are long.
func generateName(pod, claim string) string {
	const most = 57 // five characters and a dash follow
	whole := pod + "-" + claim + "-"
	if n := len(whole); n > most {
		return pod[:len(pod)*most/n] + "-" + claim[:len(claim)*most/n]
	}
	return whole
}

// claimPlan is what is to be done about a claim, in this order.
type claimPlan struct {
	// status is written where it is not nil.
	status *resourcev1.ResourceClaimStatus
	// release takes away the finalizer that holds an allocated claim.
	release bool
	// remove deletes the claim.
	remove bool
}

// decideClaim says what is to be done about a claim. gone tells of its users
// which of them will not use it any more; owner is the pod that it was made for,
// as far as it is known.
func decideClaim(c *resourcev1.ResourceClaim, gone func(resourcev1.ResourceClaimConsumerReference) bool, owner *v1.Pod) claimPlan {
	var plan claimPlan
	held := slices.Contains(c.Finalizers, resourcev1.Finalizer)
	users := slices.DeleteFunc(slices.Clone(c.Status.ReservedFor), gone)
	switch {
	case len(users) < len(c.Status.ReservedFor):
		plan.status = c.Status.DeepCopy()
		plan.status.ReservedFor = users
		// Only with the last user: a driver may allocate before there is one.
		if len(users) == 0 && held {
			plan.status.Allocation = nil
			plan.release = true
		}
	case len(users) == 0 && held && c.DeletionTimestamp != nil:
		if c.Status.Allocation != nil {
			plan.status = c.Status.DeepCopy()
			plan.status.Allocation = nil
		}
		plan.release = true
	}
	if ref := metav1.GetControllerOfNoCopy(c); len(users) == 0 && ref != nil && ref.APIVersion == "v1" && ref.Kind == "Pod" && owner != nil {
		plan.remove = c.DeletionTimestamp == nil && (owner.UID != ref.UID || done(owner))
	}
	return plan
}

// done: no container of the pod runs, or will.
func done(p *v1.Pod) bool {
	return podstate.Finished(p) || p.DeletionTimestamp != nil && p.Spec.NodeName == ""
}
