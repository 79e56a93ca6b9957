package cluster

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"proa/auth/serviceaccount"
	"proa/cache/informer"
	"proa/network/ingress"
)

// ingressAccount is the service account under which Ingresses are served.
const ingressAccount = "ingress-proxy"

// ensureIngressClass makes the class that this cluster serves, as the default one:
// an Ingress without a class is served, as users of other small clusters know it.
// Where it is served by nobody it would only keep such Ingresses from whoever else
// serves them, and is taken away.
func ensureIngressClass(ctx context.Context, c kubernetes.Interface, mode string) error {
	classes := c.NetworkingV1().IngressClasses()
	have, err := classes.Get(ctx, ingress.Class, metav1.GetOptions{})
	switch {
	case err != nil && !apierrors.IsNotFound(err):
	case mode == "none" && err == nil && have.Spec.Controller == ingress.Controller:
		err = classes.Delete(ctx, ingress.Class, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(have.UID))})
	case mode == "none":
		err = nil
	case err != nil:
		_, err = classes.Create(ctx, &networkingv1.IngressClass{
			ObjectMeta: metav1.ObjectMeta{
				Name: ingress.Class, Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"},
			},
			Spec: networkingv1.IngressClassSpec{Controller: ingress.Controller},
		}, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("class %s of Ingresses: %w", ingress.Class, err)
	}
	return nil
}

// startIngress serves Ingresses on this node. node is a client of the node's agent.
// Only a node that runs a server does so: the certificates are in Secrets, of which no
// other node may read any but those of its pods.
func (s *server) startIngress(node kubernetes.Interface) error {
	c := s.config.Network.Ingress
	if c.Mode == "none" {
		return nil
	}
	client, err := s.client(serviceaccount.User(metav1.NamespaceSystem, ingressAccount, ""), ingressAccount)
	if err != nil {
		return err
	}
	events := record.NewBroadcaster()
	var secret types.NamespacedName
	secret.Namespace, secret.Name, _ = strings.Cut(c.DefaultCertificate, "/")
	served, err := ingress.New(ingress.Config{
		Informers: informer.NewFactory(client, s.api.hub, s.api.table, 0), Client: node, Node: s.config.Node.Name,
		Events:  events.NewRecorder(scheme.Scheme, v1.EventSource{Component: ingressAccount, Host: s.config.Node.Name}),
		Address: c.Address, HTTP: *c.HTTPPort, HTTPS: *c.HTTPSPort, Certificate: secret, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.parts.run("ingress", func(ctx context.Context) error {
		defer events.Shutdown()
		events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
		return served.Run(ctx)
	})
	return nil
}
