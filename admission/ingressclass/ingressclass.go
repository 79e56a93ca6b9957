// Package ingressclass is the admission plugin DefaultIngressClass: an ingress
// that names no class gets the default one, if there is one.
package ingressclass

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"

	"proa/admission"
	"proa/resource"
)

// legacyAnnotation named the class before there was a field for it.
const legacyAnnotation = "kubernetes.io/ingress.class"

// Classes lists the ingress classes.
type Classes interface {
	IngressClasses(ctx context.Context) ([]*networkingv1.IngressClass, error)
}

// Plugin is the admission plugin.
type Plugin struct{ classes Classes }

// New makes the plugin.
func New(c Classes) *Plugin { return &Plugin{c} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "DefaultIngressClass" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && subresource == "" && admission.Is(def, networkingv1.GroupName, "ingresses")
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	in, ok := a.Object.(*networkingv1.Ingress)
	if !ok || in.Spec.IngressClassName != nil {
		return nil
	}
	if _, named := in.Annotations[legacyAnnotation]; named {
		return nil
	}
	list, err := p.classes.IngressClasses(ctx)
	if err != nil {
		return admission.Forbidden(a, err)
	}
	var best *networkingv1.IngressClass
	for _, c := range list {
		if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		if best == nil || best.CreationTimestamp.Before(&c.CreationTimestamp) ||
			best.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < best.Name {
			best = c
		}
	}
	if best != nil {
		name := best.Name
		in.Spec.IngressClassName = &name
	}
	return nil
}
