package noderestriction

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	"proa/admission"
	"proa/auth/podrefs"
)

func (p *Plugin) pod(ctx context.Context, name string, a *admission.Attributes) error {
	switch a.Operation {
	case admission.Create:
		pod, ok := a.Object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("unexpected type %T", a.Object)
		}
		if err := mirrorPod(name, pod); err != nil {
			return err
		}
		n, err := p.objects.Node(ctx, name)
		if err != nil {
			return err
		}
		if owner := pod.OwnerReferences[0]; owner.UID != n.UID {
			return fmt.Errorf("node %s UID mismatch: expected %s got %s", name, owner.UID, n.UID)
		}
		return nil
	case admission.Delete:
		// The collection of a namespace comes without a name, object by object.
		pod, ok := a.Old.(*corev1.Pod)
		if !ok {
			var err error
			if pod, err = p.objects.Pod(ctx, a.Namespace, a.Name); err != nil {
				return err
			}
		}
		if pod.Spec.NodeName != name {
			return fmt.Errorf("node %q can only delete pods with spec.nodeName set to itself", name)
		}
		return nil
	}
	return fmt.Errorf("unexpected operation %q, node %q can only create and delete mirror pods", a.Operation, name)
}

// mirrorPod refuses a pod that a node may not make: any but a mirror pod of
// its own, owned by its node, that names no other object. Whatever a node
// could name in a pod on itself, it could read.
func mirrorPod(name string, pod *corev1.Pod) error {
	if !podrefs.IsMirror(pod) {
		return fmt.Errorf("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, name)
	}
	if pod.Spec.NodeName != name {
		return fmt.Errorf("node %q can only create pods with spec.nodeName set to itself", name)
	}
	switch len(pod.OwnerReferences) {
	case 0:
		return fmt.Errorf("node %q can only create pods with an owner reference set to itself", name)
	case 1:
	default:
		return fmt.Errorf("node %q can only create pods with a single owner reference set to itself", name)
	}
	o := pod.OwnerReferences[0]
	switch {
	case o.APIVersion != corev1.SchemeGroupVersion.String() || o.Kind != "Node" || o.Name != name:
		return fmt.Errorf("node %q can only create pods with an owner reference set to itself", name)
	case o.Controller == nil || !*o.Controller:
		return fmt.Errorf("node %q can only create pods with a controller owner reference set to itself", name)
	case o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion:
		return fmt.Errorf("node %q must not set blockOwnerDeletion on an owner reference", name)
	}
	return namesNothing(name, pod)
}

func namesNothing(name string, pod *corev1.Pod) error {
	refuse := func(what string) error {
		return fmt.Errorf("node %q can not create pods that reference %s", name, what)
	}
	if pod.Spec.ServiceAccountName != "" {
		return refuse("a service account")
	}
	found := false
	note := func(string) { found = true }
	if podrefs.Secrets(&pod.Spec, note); found {
		return refuse("secrets")
	}
	if podrefs.ConfigMaps(&pod.Spec, note); found {
		return refuse("configmaps")
	}
	if podrefs.Claims(pod, note); found {
		return refuse("persistentvolumeclaims")
	}
	if len(pod.Spec.ResourceClaims) > 0 {
		return refuse("resourceclaims")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			switch {
			case s.ServiceAccountToken != nil:
				return refuse("service account tokens")
			case s.ClusterTrustBundle != nil:
				return refuse("clustertrustbundles")
			case s.PodCertificate != nil:
				return refuse("pod certificates")
			}
		}
	}
	return nil
}

func podStatus(name string, a *admission.Attributes) error {
	if a.Operation != admission.Update {
		return fmt.Errorf("unexpected operation %q", a.Operation)
	}
	old, ok := a.Old.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Old)
	}
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	switch {
	case old.Spec.NodeName != name:
		return fmt.Errorf("node %q can only update pod status for pods with spec.nodeName set to itself", name)
	case !labels.Equals(old.Labels, pod.Labels):
		return fmt.Errorf("node %q cannot update labels through pod status", name)
	// The graph of the node authorizer follows these, so a node could reach
	// for any claim.
	case !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses):
		return fmt.Errorf("node %q cannot update resource claim statuses", name)
	case !equality.Semantic.DeepEqual(old.Status.ExtendedResourceClaimStatus, pod.Status.ExtendedResourceClaimStatus):
		return fmt.Errorf("node %q cannot update extended resource claim status", name)
	}
	return nil
}

func (p *Plugin) eviction(ctx context.Context, name string, a *admission.Attributes) error {
	if a.Operation != admission.Create {
		return fmt.Errorf("unexpected operation %s", a.Operation)
	}
	podName := a.Name
	if e, ok := a.Object.(*policyv1.Eviction); ok && podName == "" {
		podName = e.Name
	}
	if podName == "" {
		return errors.New("could not determine pod from request data")
	}
	pod, err := p.objects.Pod(ctx, a.Namespace, podName)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName != name {
		return fmt.Errorf("node %s can only evict pods with spec.nodeName set to itself", name)
	}
	return nil
}
