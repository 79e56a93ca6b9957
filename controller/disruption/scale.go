package disruption

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/controller/scales"
)

// scaleOf returns how many pods the owner of some asks for, and who that is:
// for a replica set of a deployment, it is the deployment.
func (c *disruption) scaleOf(ctx context.Context, namespace string, ref *metav1.OwnerReference) (types.UID, int32, error) {
	owner, replicas, err := c.listed(namespace, ref)
	switch {
	case apierrors.IsNotFound(err):
		return "", 0, fmt.Errorf("found no controllers for pods of %s %q", ref.Kind, ref.Name)
	case err != nil:
		return "", 0, err
	case owner == nil:
		s, err := scales.Get(ctx, c.env, scales.Target{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: namespace, Name: ref.Name})
		if err != nil {
			return "", 0, err
		}
		owner, replicas = s, &s.Spec.Replicas
	}
	if owner.GetUID() != ref.UID {
		return "", 0, fmt.Errorf("found no controllers for pods of %s %q, which is another one of the same name", ref.Kind, ref.Name)
	}
	if set, ok := owner.(*appsv1.ReplicaSet); ok {
		above := metav1.GetControllerOfNoCopy(set)
		if above != nil && above.Kind == "Deployment" && above.APIVersion == appsv1.SchemeGroupVersion.String() {
			d, err := c.deployments.Deployments(namespace).Get(above.Name)
			if err == nil && d.UID == above.UID {
				owner, replicas = d, d.Spec.Replicas
			}
		}
	}
	if replicas == nil {
		return owner.GetUID(), 1, nil
	}
	return owner.GetUID(), *replicas, nil
}

// listed finds an owner of the kinds that are watched. For others it is nil.
func (c *disruption) listed(namespace string, ref *metav1.OwnerReference) (metav1.Object, *int32, error) {
	apps := appsv1.SchemeGroupVersion.String()
	switch {
	case ref.Kind == "ReplicaSet" && ref.APIVersion == apps:
		o, err := c.replicaSets.ReplicaSets(namespace).Get(ref.Name)
		if err != nil {
			return nil, nil, err
		}
		return o, o.Spec.Replicas, nil
	case ref.Kind == "StatefulSet" && ref.APIVersion == apps:
		o, err := c.statefulSets.StatefulSets(namespace).Get(ref.Name)
		if err != nil {
			return nil, nil, err
		}
		return o, o.Spec.Replicas, nil
	case ref.Kind == "ReplicationController" && ref.APIVersion == v1.SchemeGroupVersion.String():
		o, err := c.replicationControllers.ReplicationControllers(namespace).Get(ref.Name)
		if err != nil {
			return nil, nil, err
		}
		return o, o.Spec.Replicas, nil
	}
	return nil, nil, nil
}
