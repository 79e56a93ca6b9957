package endpoints

import (
	"context"
	"maps"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
	"proa/controller/servicepods"
)

const workers = 5

// Definition of the endpoints controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "endpoints-controller", ServiceAccount: "endpoint-controller", New: newController}
}

type endpoints struct {
	env       controller.Env
	loop      *controller.Loop[controller.Key]
	services  corelisters.ServiceLister
	pods      corelisters.PodLister
	endpoints corelisters.EndpointsLister
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &endpoints{env: env, services: core.Services().Lister(), pods: core.Pods().Lister(), endpoints: core.Endpoints().Lister()}
	c.loop = controller.NewLoop("endpoints", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, core.Services().Informer(), controller.Self[*v1.Service]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Endpoints().Informer(), controller.Self[*v1.Endpoints]); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		return servicepods.Selecting(old, pod, deleted, c.services)
	})
}

// Run implements controller.Controller.
func (c *endpoints) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *endpoints) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	client := c.env.Client.CoreV1().Endpoints(key.Namespace)
	is, err := c.endpoints.Endpoints(key.Namespace).Get(key.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return controller.Done, err
	}
	exists := err == nil
	svc, err := c.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		if !exists || is.Labels["endpoints.kubernetes.io/managed-by"] == "" {
			return controller.Done, nil // nobody's, or somebody else's
		}
		err = client.Delete(ctx, key.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &is.UID}})
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return controller.Done, err
	}
	if err != nil {
		return controller.Done, err
	}
	if svc.Spec.Type == v1.ServiceTypeExternalName || len(svc.Spec.Selector) == 0 || svc.DeletionTimestamp != nil {
		return controller.Done, nil
	}
	pods, err := servicepods.Of(svc, c.pods)
	if err != nil {
		return controller.Done, err
	}
	subsets, truncated := decide(svc, pods)
	want := &v1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name}}
	if exists {
		want = is.DeepCopy()
	}
	want.Subsets, want.Labels, want.Annotations = subsets, labelsOf(svc), annotationsOf(want.Annotations, truncated)
	switch {
	case !exists:
		_, err = client.Create(ctx, want, metav1.CreateOptions{})
		if apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
			err = nil
		}
	case equality.Semantic.DeepEqual(is.Subsets, want.Subsets) && maps.Equal(is.Labels, want.Labels) && maps.Equal(is.Annotations, want.Annotations):
	default:
		_, err = client.Update(ctx, want, metav1.UpdateOptions{})
	}
	return controller.Done, err
}
