// Package serviceaccount gives every namespace its default ServiceAccount, so
// that pods which name none can be admitted.
package serviceaccount

import (
	"context"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
)

// name of the account that every namespace has.
const name = "default"

// Definition of the service account controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "serviceaccount-controller", ServiceAccount: "service-account-controller", New: newController}
}

type accounts struct {
	env        controller.Env
	loop       *controller.Loop[string]
	namespaces corelisters.NamespaceLister
	accounts   corelisters.ServiceAccountLister
}

func newController(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &accounts{env: env, namespaces: core.Namespaces().Lister(), accounts: core.ServiceAccounts().Lister()}
	c.loop = controller.NewLoop("serviceaccount", env, 2, c.reconcile)
	if err := controller.Watch(c.loop, core.Namespaces().Informer(), func(_, ns *v1.Namespace, deleted bool) []string {
		if deleted {
			return nil
		}
		return []string{ns.Name}
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.ServiceAccounts().Informer(), func(_, sa *v1.ServiceAccount, deleted bool) []string {
		if !deleted || sa.Name != name {
			return nil
		}
		return []string{sa.Namespace}
	}); err != nil {
		return nil, err
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *accounts) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *accounts) reconcile(ctx context.Context, namespace string) (controller.Result, error) {
	ns, err := c.namespaces.Get(namespace)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if _, err := c.accounts.ServiceAccounts(namespace).Get(name); !apierrors.IsNotFound(err) || ns.Status.Phase == v1.NamespaceTerminating {
		return controller.Done, nil
	}
	_, err = c.env.Client.CoreV1().ServiceAccounts(namespace).Create(ctx,
		&v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
		return controller.Done, nil
	}
	return controller.Done, err
}
