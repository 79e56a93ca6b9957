package garbage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"proa/controller"
)

// checkOne looks at one object: whether it waits for dependents, and whether
// its owners are there.
func (c *collector) checkOne(ctx context.Context, uid types.UID) (controller.Result, error) {
	n, ok := c.graph.get(uid)
	if !ok || n.virtual {
		return controller.Done, nil
	}
	live, err := c.live(ctx, n.identity)
	if apierrors.IsNotFound(err) || (err == nil && live.UID != uid) {
		c.add(c.graph.remove(uid)) // its event was missed, or comes later
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if live.DeletionTimestamp != nil && has(live.Finalizers, metav1.FinalizerDeleteDependents) {
		return controller.Done, c.foreground(ctx, n, live)
	}
	if live.DeletionTimestamp != nil && !n.foreground {
		return controller.Done, nil // it is going already
	}
	if len(live.OwnerReferences) == 0 {
		return controller.Done, nil
	}
	states := make([]ownerState, len(live.OwnerReferences))
	for i, ref := range live.OwnerReferences {
		if states[i], err = c.owner(ctx, live, ref); err != nil {
			return controller.Done, err
		}
	}
	v := judge(live.OwnerReferences, states, live.Finalizers, n.dependents)
	if len(v.drop) > 0 || v.unblock {
		if err := c.patchOwners(ctx, n.identity, live, v); err != nil {
			return controller.Done, err
		}
	}
	if v.remove == "" {
		return controller.Done, nil
	}
	return controller.Done, c.remove(ctx, n.identity, live.ResourceVersion, v.remove)
}

// foreground lets an object go when nothing blocks it any more, and otherwise
// makes what blocks it go.
func (c *collector) foreground(ctx context.Context, n seen, live *metav1.PartialObjectMetadata) error {
	blocked := false
	for _, d := range n.dependents {
		if d.blocks {
			blocked = true
			if !d.deleting {
				c.check.Add(d.uid)
			}
		}
	}
	if blocked {
		return nil
	}
	return c.dropFinalizer(ctx, n.identity, live, metav1.FinalizerDeleteDependents)
}

// orphanOne takes an object that is being deleted off the lists of owners of
// its dependents, and then lets it go.
func (c *collector) orphanOne(ctx context.Context, uid types.UID) (controller.Result, error) {
	n, ok := c.graph.get(uid)
	if !ok || n.virtual {
		return controller.Done, nil
	}
	live, err := c.live(ctx, n.identity)
	if apierrors.IsNotFound(err) || (err == nil && (live.UID != uid || !has(live.Finalizers, metav1.FinalizerOrphanDependents))) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	for _, d := range n.dependents {
		child, err := c.live(ctx, d.identity)
		if apierrors.IsNotFound(err) || (err == nil && child.UID != d.uid) {
			continue
		}
		if err != nil {
			return controller.Done, err
		}
		if err := c.patchOwners(ctx, d.identity, child, verdict{drop: []types.UID{uid}}); err != nil {
			return controller.Done, err
		}
	}
	return controller.Done, c.dropFinalizer(ctx, n.identity, live, metav1.FinalizerOrphanDependents)
}

// owner asks the API server about one owner of an object.
func (c *collector) owner(ctx context.Context, of *metav1.PartialObjectMetadata, ref metav1.OwnerReference) (ownerState, error) {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	info, err := c.resources.of(gvk)
	if err != nil {
		return solid, fmt.Errorf("owner %s %s: %w", ref.Kind, ref.Name, err)
	}
	namespace := ""
	if info.namespaced {
		if of.Namespace == "" {
			return c.meaningless(of, ref), nil
		}
		namespace = of.Namespace
	}
	if o, ok := c.graph.get(ref.UID); ok && o.met && (o.gvk.GroupKind() != gvk.GroupKind() || o.namespace != namespace || o.name != ref.Name) {
		return c.meaningless(of, ref), nil
	}
	live, err := c.env.Metadata.Resource(info.gvr).Namespace(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return dangling, nil
	case err != nil:
		return solid, err
	case live.UID != ref.UID:
		return dangling, nil
	case live.DeletionTimestamp != nil && has(live.Finalizers, metav1.FinalizerDeleteDependents):
		return waiting, nil
	}
	return solid, nil
}

// meaningless tells of an owner reference that cannot be right: to a namespaced
// owner of an object without a namespace, or to an object that is known and is
// elsewhere, or is called otherwise. It leads to nothing: that such an owner is
// not where the reference says does not show that it is gone.
func (c *collector) meaningless(of *metav1.PartialObjectMetadata, ref metav1.OwnerReference) ownerState {
	c.env.Events.Eventf(of, v1.EventTypeWarning, "OwnerRefInvalidNamespace",
		"ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace %q", ref.APIVersion, ref.Kind, of.Namespace, ref.Name, ref.UID, of.Namespace)
	return solid
}

func (c *collector) live(ctx context.Context, id identity) (*metav1.PartialObjectMetadata, error) {
	info, err := c.resources.of(id.gvk)
	if err != nil {
		return nil, err
	}
	return c.env.Metadata.Resource(info.gvr).Namespace(id.namespace).Get(ctx, id.name, metav1.GetOptions{})
}

func (c *collector) remove(ctx context.Context, id identity, resourceVersion string, how metav1.DeletionPropagation) error {
	info, err := c.resources.of(id.gvk)
	if err != nil {
		return err
	}
	err = c.env.Metadata.Resource(info.gvr).Namespace(id.namespace).Delete(ctx, id.name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &id.uid, ResourceVersion: &resourceVersion}, PropagationPolicy: &how,
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// patchOwners writes the owner references that the verdict leaves, if the
// object is still what was looked at.
func (c *collector) patchOwners(ctx context.Context, id identity, live *metav1.PartialObjectMetadata, v verdict) error {
	refs := []metav1.OwnerReference{}
	for _, r := range live.OwnerReferences {
		if slices.Contains(v.drop, r.UID) {
			continue
		}
		if v.unblock {
			no := false
			r.BlockOwnerDeletion = &no
		}
		refs = append(refs, r)
	}
	err := c.patch(ctx, id, map[string]any{"ownerReferences": refs, "resourceVersion": live.ResourceVersion, "uid": live.UID})
	if err == nil && v.unblock {
		// The write has made another version; the removal follows on its event.
		return nil
	}
	return err
}

func (c *collector) dropFinalizer(ctx context.Context, id identity, live *metav1.PartialObjectMetadata, name string) error {
	left := slices.DeleteFunc(slices.Clone(live.Finalizers), func(f string) bool { return f == name })
	if left == nil {
		left = []string{}
	}
	return c.patch(ctx, id, map[string]any{"finalizers": left, "resourceVersion": live.ResourceVersion, "uid": live.UID})
}

// patch merges metadata into an object.
func (c *collector) patch(ctx context.Context, id identity, metadata map[string]any) error {
	info, err := c.resources.of(id.gvk)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	_, err = c.env.Metadata.Resource(info.gvr).Namespace(id.namespace).Patch(ctx, id.name, types.MergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
