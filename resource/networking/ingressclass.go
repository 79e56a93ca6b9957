package networking

import (
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// maxController is the length of the name of an ingress controller.
const maxController = 250

// IngressClass is the row of ingress classes.
func IngressClass() *resource.Definition {
	return resource.Row[*networkingv1.IngressClass]{
		Storage:       networkingv1.SchemeGroupVersion,
		Kind:          "IngressClass",
		Plural:        "ingressclasses",
		ClusterScoped: true,
		New:           func() *networkingv1.IngressClass { return new(networkingv1.IngressClass) },
		NewList:       func() runtime.Object { return new(networkingv1.IngressClassList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Default: func(c *networkingv1.IngressClass) {
			if p := c.Spec.Parameters; p != nil && p.Scope == nil {
				p.Scope = new(networkingv1.IngressClassParametersReferenceScopeCluster)
			}
		},
		Spec:     func(c *networkingv1.IngressClass) any { return &c.Spec },
		Validate: validateIngressClass,
		ValidateUpdate: func(c, old *networkingv1.IngressClass) field.ErrorList {
			return append(validateIngressClass(c),
				check.Unchanged(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller"))...)
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Controller", "Controller that is responsible for handling this class"),
			columns.String("Parameters", "A reference to a resource with additional parameters"),
			columns.Age(),
		},
		Cells: func(c *networkingv1.IngressClass, now time.Time) []any {
			params := columns.None
			if p := c.Spec.Parameters; p != nil {
				params = p.Kind
				if p.APIGroup != nil {
					params += "." + *p.APIGroup
				}
				params += "/" + p.Name
			}
			return []any{c.Name, c.Spec.Controller, params, columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if len(c.Spec.Controller) > maxController {
		errs = append(errs, field.TooLong(at.Child("controller"), c.Spec.Controller, maxController))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(at.Child("controller"), c.Spec.Controller)...)
	p, at := c.Spec.Parameters, at.Child("parameters")
	if p == nil {
		return errs
	}
	errs = append(errs, validateReference(p.APIGroup, p.Kind, p.Name, at)...)
	if p.Scope == nil {
		return append(errs, field.Required(at.Child("scope"), ""))
	}
	switch *p.Scope {
	case networkingv1.IngressClassParametersReferenceScopeNamespace:
		if p.Namespace == nil || *p.Namespace == "" {
			errs = append(errs, field.Required(at.Child("namespace"), "`parameters.scope` is set to 'Namespace'"))
		} else {
			errs = append(errs, check.Messages(apivalidation.ValidateNamespaceName(*p.Namespace, false), *p.Namespace, at.Child("namespace"))...)
		}
	case networkingv1.IngressClassParametersReferenceScopeCluster:
		if p.Namespace != nil {
			errs = append(errs, field.Forbidden(at.Child("namespace"), "`parameters.scope` is set to 'Cluster'"))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("scope"), *p.Scope, []string{
			networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace,
		}))
	}
	return errs
}
