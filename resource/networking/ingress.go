package networking

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/columns"
)

// classAnnotation named the class of an ingress before there was a field.
const classAnnotation = "kubernetes.io/ingress.class"

// Ingress is the row of ingresses.
func Ingress() *resource.Definition {
	return resource.Row[*networkingv1.Ingress]{
		Storage:    networkingv1.SchemeGroupVersion,
		Kind:       "Ingress",
		Plural:     "ingresses",
		ShortNames: []string{"ing"},
		// Not the plural: ingresses are kept where they were before they had
		// a group of their own.
		Prefix:       "ingress",
		New:          func() *networkingv1.Ingress { return new(networkingv1.Ingress) },
		NewList:      func() runtime.Object { return new(networkingv1.IngressList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		PrepareCreate: func(_ *resource.Request, i *networkingv1.Ingress) {
			i.Status = networkingv1.IngressStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, i, old *networkingv1.Ingress) {
			i.Status = *old.Status.DeepCopy()
		},
		Validate: func(i *networkingv1.Ingress) field.ErrorList {
			errs := validateIngressSpec(&i.Spec, nil)
			class, ok := i.Annotations[classAnnotation]
			if ok && i.Spec.IngressClassName != nil && class != *i.Spec.IngressClassName {
				errs = append(errs, field.Invalid(field.NewPath("annotations").Child(classAnnotation), class,
					"must match `ingressClassName` when both are specified"))
			}
			return errs
		},
		ValidateUpdate: func(i, old *networkingv1.Ingress) field.ErrorList { return validateIngressSpec(&i.Spec, &old.Spec) },
		Warnings: func(i, old *networkingv1.Ingress) []string {
			if _, ok := i.Annotations[classAnnotation]; ok && old == nil && i.Spec.IngressClassName == nil {
				return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", classAnnotation)}
			}
			return nil
		},
		Spec: func(i *networkingv1.Ingress) any { return &i.Spec },
		Updates: map[string]resource.Update[*networkingv1.Ingress]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, i, old *networkingv1.Ingress) {
					i.Spec = *old.Spec.DeepCopy()
				},
				ValidateUpdate: validateIngressStatus,
			},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Class", "The name of the IngressClass resource that should be used for additional configuration"),
			columns.String("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
			columns.String("Address", "Address is a list containing ingress points for the load-balancer"),
			columns.String("Ports", "Ports of TLS configurations that open"),
			columns.Age(),
		},
		Cells: func(i *networkingv1.Ingress, now time.Time) []any {
			ports := "80"
			if len(i.Spec.TLS) > 0 {
				ports = "80, 443"
			}
			return []any{
				i.Name, ptr.Deref(i.Spec.IngressClassName, columns.None), hostsCell(i.Spec.Rules),
				addressCell(&i.Status.LoadBalancer), ports, columns.Since(i.CreationTimestamp, now),
			}
		},
	}.Define()
}

// hostsCell lists up to three hosts.
func hostsCell(rules []networkingv1.IngressRule) string {
	const shown = 3
	var list []string
	more := false
	for i := range rules {
		more = more || len(list) == shown
		if host := rules[i].Host; host != "" && !more {
			list = append(list, host)
		}
	}
	s := strings.Join(list, ",")
	switch {
	case len(list) == 0:
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", s, len(rules)-shown)
	}
	return s
}

func addressCell(s *networkingv1.IngressLoadBalancerStatus) string {
	set := map[string]bool{}
	for _, i := range s.Ingress {
		if a := i.IP + i.Hostname; i.IP == "" || i.Hostname == "" {
			set[a] = true
		} else {
			set[i.IP] = true
		}
	}
	delete(set, "")
	return strings.Join(slices.Sorted(maps.Keys(set)), ",")
}
