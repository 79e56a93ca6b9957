// Package rootca publishes the certificate authority of the API server in every
// namespace, as the ConfigMap kube-root-ca.crt, which pods mount beside their
// token.
package rootca

import (
	"context"
	"maps"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
)

// What is published: name and key are those that pods mount.
const (
	name        = "kube-root-ca.crt"
	key         = "ca.crt"
	description = "The certificate authority by which pods verify the API server."
)

// Definition of the publisher of ca, a PEM bundle.
func Definition(ca []byte) controller.Definition {
	return controller.Definition{Name: "root-ca-certificate-publisher-controller", ServiceAccount: "root-ca-cert-publisher",
		New: func(env controller.Env) (controller.Controller, error) { return newController(env, string(ca)) }}
}

type publisher struct {
	env        controller.Env
	loop       *controller.Loop[string]
	namespaces corelisters.NamespaceLister
	maps       corelisters.ConfigMapLister
	data       map[string]string
}

func newController(env controller.Env, ca string) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	c := &publisher{
		env: env, namespaces: core.Namespaces().Lister(), maps: core.ConfigMaps().Lister(),
		data: map[string]string{key: ca},
	}
	c.loop = controller.NewLoop("rootca", env, 2, c.reconcile)
	if err := controller.Watch(c.loop, core.Namespaces().Informer(), func(_, ns *v1.Namespace, deleted bool) []string {
		if deleted {
			return nil
		}
		return []string{ns.Name}
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.ConfigMaps().Informer(), func(_, cm *v1.ConfigMap, _ bool) []string {
		if cm.Name != name {
			return nil
		}
		return []string{cm.Namespace}
	}); err != nil {
		return nil, err
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *publisher) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func (c *publisher) reconcile(ctx context.Context, namespace string) (controller.Result, error) {
	ns, err := c.namespaces.Get(namespace)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if ns.Status.Phase == v1.NamespaceTerminating {
		return controller.Done, nil
	}
	client := c.env.Client.CoreV1().ConfigMaps(namespace)
	is, err := c.maps.ConfigMaps(namespace).Get(name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(ctx, &v1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{"kubernetes.io/description": description}},
			Data:       c.data,
		}, metav1.CreateOptions{})
		if apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
			err = nil
		}
	case err != nil:
	case !maps.Equal(is.Data, c.data):
		cm := is.DeepCopy()
		cm.Data = c.data
		_, err = client.Update(ctx, cm, metav1.UpdateOptions{})
	}
	return controller.Done, err
}
