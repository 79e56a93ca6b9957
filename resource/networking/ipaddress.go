package networking

import (
	"net/netip"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// IPAddress is the row of claims on cluster IPs: who creates the object named
// after an address has the address.
func IPAddress() *resource.Definition {
	return resource.Row[*networkingv1.IPAddress]{
		Storage:       networkingv1.SchemeGroupVersion,
		Kind:          "IPAddress",
		Plural:        "ipaddresses",
		ShortNames:    []string{"ip"},
		ClusterScoped: true,
		New:           func() *networkingv1.IPAddress { return new(networkingv1.IPAddress) },
		NewList:       func() runtime.Object { return new(networkingv1.IPAddressList) },
		ValidateName:  canonicalIP,
		Validate:      validateIPAddress,
		ValidateUpdate: func(a, old *networkingv1.IPAddress) field.ErrorList {
			errs := validateIPAddress(a)
			return append(errs, check.Unchanged(a.Spec.ParentRef, old.Spec.ParentRef, field.NewPath("spec").Child("parentRef"))...)
		},
		Spec: func(a *networkingv1.IPAddress) any { return &a.Spec },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("ParentRef", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"]),
			columns.Age(),
		},
		Cells: func(a *networkingv1.IPAddress, now time.Time) []any {
			return []any{a.Name, parentCell(a.Spec.ParentRef), columns.Since(a.CreationTimestamp, now)}
		},
	}.Define()
}

// canonicalIP: one address has one name.
func canonicalIP(name string, prefix bool) []string {
	if prefix {
		return []string{"must be the canonical form of an IP address"}
	}
	var out []string
	for _, e := range validation.IsValidIP(field.NewPath("metadata", "name"), name) {
		out = append(out, e.Detail)
	}
	if a, err := netip.ParseAddr(name); err == nil && a.String() != name && len(out) == 0 {
		out = append(out, "must be a canonical IP address")
	}
	return out
}

func validateIPAddress(a *networkingv1.IPAddress) field.ErrorList {
	at := field.NewPath("spec").Child("parentRef")
	p := a.Spec.ParentRef
	if p == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	if p.Group != "" {
		errs = append(errs, check.Subdomain(p.Group, at.Child("group"))...)
	}
	for _, f := range []struct {
		name, value string
		required    bool
	}{{"resource", p.Resource, true}, {"name", p.Name, true}, {"namespace", p.Namespace, false}} {
		switch {
		case f.value == "" && f.required:
			errs = append(errs, field.Required(at.Child(f.name), ""))
		case f.value != "":
			errs = append(errs, check.Messages(content.IsPathSegmentName(f.value), f.value, at.Child(f.name))...)
		}
	}
	return errs
}

// parentCell writes a reference as resource.group/namespace/name.
func parentCell(p *networkingv1.ParentReference) string {
	if p == nil {
		return columns.None
	}
	out := p.Resource
	if p.Group != "" {
		out += "." + p.Group
	}
	if p.Namespace != "" {
		out += "/" + p.Namespace
	}
	return out + "/" + p.Name
}
