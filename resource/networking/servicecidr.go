package networking

import (
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ServiceCIDR is the row of ranges that cluster IPs are given from.
func ServiceCIDR() *resource.Definition {
	return resource.Row[*networkingv1.ServiceCIDR]{
		Storage:       networkingv1.SchemeGroupVersion,
		Kind:          "ServiceCIDR",
		Plural:        "servicecidrs",
		ClusterScoped: true,
		New:           func() *networkingv1.ServiceCIDR { return new(networkingv1.ServiceCIDR) },
		NewList:       func() runtime.Object { return new(networkingv1.ServiceCIDRList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		PrepareCreate: func(_ *resource.Request, c *networkingv1.ServiceCIDR) {
			c.Status = networkingv1.ServiceCIDRStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, c, old *networkingv1.ServiceCIDR) {
			c.Status = *old.Status.DeepCopy()
		},
		Validate: func(c *networkingv1.ServiceCIDR) field.ErrorList {
			return validateCIDRs(&c.Spec, field.NewPath("spec", "cidrs"))
		},
		ValidateUpdate: validateServiceCIDRUpdate,
		Updates: map[string]resource.Update[*networkingv1.ServiceCIDR]{
			"status": {Restored: []string{"metadata"}, PrepareUpdate: func(_ *resource.Request, c, old *networkingv1.ServiceCIDR) {
				c.Spec = *old.Spec.DeepCopy()
				metav1.ResetObjectMetaForStatus(c, old.DeepCopy())
			}},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"]),
			columns.Age(),
		},
		Cells: func(c *networkingv1.ServiceCIDR, now time.Time) []any {
			return []any{c.Name, strings.Join(c.Spec.CIDRs, ","), columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

// validateCIDRs: one range, or one of each IP family.
func validateCIDRs(s *networkingv1.ServiceCIDRSpec, at *field.Path) field.ErrorList {
	switch n := len(s.CIDRs); {
	case n == 0:
		return field.ErrorList{field.Required(at, "at least one CIDR required")}
	case n > 2:
		return field.ErrorList{field.Invalid(at, check.GoForm{Value: s}, "may only hold up to 2 values")}
	}
	var errs field.ErrorList
	for i, c := range s.CIDRs {
		errs = append(errs, validation.IsValidCIDR(at.Index(i), c)...)
	}
	if len(s.CIDRs) < 2 {
		return errs
	}
	f := netutils.IPFamilyOfCIDRString(s.CIDRs[0])
	if f != netutils.IPFamilyUnknown && f == netutils.IPFamilyOfCIDRString(s.CIDRs[1]) {
		errs = append(errs, field.Invalid(at, s.CIDRs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
	}
	return errs
}

// validateServiceCIDRUpdate: a range stays what it is, but may get one of the
// other IP family beside it.
func validateServiceCIDRUpdate(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	at := field.NewPath("spec", "cidrs")
	is, was := c.Spec.CIDRs, old.Spec.CIDRs
	second := len(was) == 1 && len(is) == 2
	if len(is) != len(was) && !second {
		return field.ErrorList{field.Invalid(at, is, check.Immutable)}
	}
	var errs field.ErrorList
	for i, w := range was {
		if is[i] != w {
			errs = append(errs, field.Invalid(at.Index(i), is[i], check.Immutable))
		}
	}
	if second {
		errs = append(errs, validateCIDRs(&c.Spec, at)...)
	}
	return errs
}
