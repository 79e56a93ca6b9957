// Package slicecontrol writes the EndpointSlices that a controller has decided on.
package slicecontrol

import (
	"context"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"

	"proa/controller"
)

// Plan is what is to be done with the slices of one key.
type Plan struct {
	Create, Update, Remove []*discoveryv1.EndpointSlice
}

// Apply carries a plan out, and stops at the first error. Creations are expected,
// for the controller to wait until it sees them. That the namespace is going away
// is no error: so is everything in it.
func Apply(ctx context.Context, client discoveryclient.EndpointSlicesGetter, expect *controller.Expectations[controller.Key], key controller.Key, p Plan) error {
	slices := client.EndpointSlices(key.Namespace)
	for _, s := range p.Create {
		expect.ExpectCreations(key, 1)
		if _, err := slices.Create(ctx, s, metav1.CreateOptions{}); err != nil {
			expect.CreationObserved(key)
			if apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
				return nil
			}
			return err
		}
	}
	for _, s := range p.Update {
		if _, err := slices.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	for _, s := range p.Remove {
		err := slices.Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
