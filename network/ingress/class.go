package ingress

import networkingv1 "k8s.io/api/networking/v1"

const (
	// Controller is what a class names that is served here.
	Controller = "proa.dev/ingress"
	// Class is the name of the class that every cluster has.
	Class = "proa"
	// Redirect, with the value "false", is the annotation of Ingresses that are
	// served without TLS too.
	Redirect = "proa.dev/ssl-redirect"
	// Announcement is the annotation of nodes that serve Ingresses: the open ports.
	Announcement = "proa.dev/ingress"
	// oldClass was how a class was named before there were classes.
	oldClass = "kubernetes.io/ingress.class"
)

// Classes are the names of the classes that are served here.
func Classes(all []*networkingv1.IngressClass) map[string]bool {
	out := map[string]bool{}
	for _, c := range all {
		if c.Spec.Controller == Controller {
			out[c.Name] = true
		}
	}
	return out
}

// Ours tells whether an Ingress is of one of the classes.
func Ours(in *networkingv1.Ingress, classes map[string]bool) bool {
	if in.Spec.IngressClassName != nil {
		return classes[*in.Spec.IngressClassName]
	}
	return classes[in.Annotations[oldClass]]
}
