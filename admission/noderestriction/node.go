package noderestriction

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	kubelet "k8s.io/kubelet/pkg/apis"

	"proa/admission"
)

// nodeItself: a node writes itself only, and not what steers work to it or
// decides about its own end: taints, labels that others rely on, owners.
func nodeItself(name string, a *admission.Attributes) error {
	if n := nameOf(a); n != name {
		return fmt.Errorf("node %q is not allowed to modify node %q", name, n)
	}
	node, _ := a.Object.(*corev1.Node)
	switch a.Operation {
	case admission.Create:
		if node == nil {
			return fmt.Errorf("unexpected type %T", a.Object)
		}
		if node.Spec.ConfigSource != nil {
			return fmt.Errorf("node %q is not allowed to create pods with a non-nil configSource", name)
		}
		if bad := forbiddenLabels(node.Labels, nil); len(bad) > 0 {
			return fmt.Errorf("node %q is not allowed to set the following labels: %s", name, strings.Join(bad, ", "))
		}
	case admission.Update:
		old, ok := a.Old.(*corev1.Node)
		if !ok || node == nil {
			return fmt.Errorf("unexpected type %T", a.Object)
		}
		if node.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(node.Spec.ConfigSource, old.Spec.ConfigSource) {
			return fmt.Errorf("node %q is not allowed to update configSource to a new non-nil configSource", name)
		}
		if !equality.Semantic.DeepEqual(node.Spec.Taints, old.Spec.Taints) {
			return fmt.Errorf("node %q is not allowed to modify taints", name)
		}
		if bad := forbiddenLabels(node.Labels, old.Labels); len(bad) > 0 {
			return fmt.Errorf("is not allowed to modify labels: %s", strings.Join(bad, ", "))
		}
		if !equality.Semantic.DeepEqual(node.OwnerReferences, old.OwnerReferences) {
			return fmt.Errorf("node %q is not allowed to modify ownerReferences", name)
		}
	}
	return nil
}

// forbiddenLabels are those that differ and that a node may not choose, in
// order: everything for the isolation of nodes, and everything of Kubernetes
// that a node does not know of itself.
func forbiddenLabels(now, was map[string]string) []string {
	bad := map[string]bool{}
	judge := func(key string) {
		ns, _, ok := strings.Cut(key, "/")
		if !ok {
			return
		}
		within := func(domain string) bool { return ns == domain || strings.HasSuffix(ns, "."+domain) }
		if within(corev1.LabelNamespaceNodeRestriction) ||
			(within("kubernetes.io") || within("k8s.io")) && !kubelet.IsKubeletLabel(key) {
			bad[key] = true
		}
	}
	for k, v := range now {
		if old, ok := was[k]; !ok || old != v {
			judge(k)
		}
	}
	for k := range was {
		if _, ok := now[k]; !ok {
			judge(k)
		}
	}
	return slices.Sorted(maps.Keys(bad))
}

// claimStatus: a node tells how large a volume has become, and nothing else.
func claimStatus(name string, a *admission.Attributes) error {
	if a.Operation != admission.Update {
		return fmt.Errorf("unexpected operation %q", a.Operation)
	}
	old, ok := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Old)
	}
	claim, ok := a.Object.(*corev1.PersistentVolumeClaim)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	rest := func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
		c = c.DeepCopy()
		c.ResourceVersion, c.ManagedFields = "", nil
		c.Status.Capacity, c.Status.Conditions = nil, nil
		c.Status.AllocatedResources, c.Status.AllocatedResourceStatuses = nil, nil
		return c
	}
	if !equality.Semantic.DeepEqual(rest(old), rest(claim)) {
		return fmt.Errorf("node %q is not allowed to update fields other than status.quantity and status.conditions", name)
	}
	return nil
}
