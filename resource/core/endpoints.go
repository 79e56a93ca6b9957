package core

import (
	"fmt"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// Endpoints is the row of endpoints, which endpoint slices have replaced.
func Endpoints() *resource.Definition {
	return resource.Row[*corev1.Endpoints]{
		Storage:      corev1.SchemeGroupVersion,
		Kind:         "Endpoints",
		Plural:       "endpoints",
		Singular:     "endpoints",
		ShortNames:   []string{"ep"},
		Prefix:       "services/endpoints",
		New:          func() *corev1.Endpoints { return new(corev1.Endpoints) },
		NewList:      func() runtime.Object { return new(corev1.EndpointsList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultEndpoints,
		Validate:     func(ep *corev1.Endpoints) field.ErrorList { return validateSubsets(ep.Subsets) },
		ValidateUpdate: func(ep, old *corev1.Endpoints) field.ErrorList {
			if check.Equal(ep.Subsets, old.Subsets) {
				// What is stored may have been made under older rules.
				return nil
			}
			return validateSubsets(ep.Subsets)
		},
		Warnings:       endpointsWarnings,
		CreateOnUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Endpoints", corev1.Endpoints{}.SwaggerDoc()["subsets"]),
			columns.Age(),
		},
		Cells: func(ep *corev1.Endpoints, now time.Time) []any {
			return []any{ep.Name, endpointsCell(ep.Subsets), columns.Since(ep.CreationTimestamp, now)}
		},
	}.Define()
}

func defaultEndpoints(ep *corev1.Endpoints) {
	for i := range ep.Subsets {
		for j := range ep.Subsets[i].Ports {
			setDefault(&ep.Subsets[i].Ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

const maxEndpointsShown = 3

// endpointsCell shows the first ready addresses, once per port.
func endpointsCell(subsets []corev1.EndpointSubset) string {
	if len(subsets) == 0 {
		return columns.None
	}
	var shown []string
	all := 0
	add := func(s string) {
		if all++; all <= maxEndpointsShown {
			shown = append(shown, s)
		}
	}
	for i := range subsets {
		ss := &subsets[i]
		if len(ss.Ports) == 0 {
			// A headless service needs no ports.
			for _, a := range ss.Addresses {
				add(a.IP)
			}
		}
		for _, p := range ss.Ports {
			for _, a := range ss.Addresses {
				add(net.JoinHostPort(a.IP, fmt.Sprint(p.Port)))
			}
		}
	}
	out := strings.Join(shown, ",")
	if all > maxEndpointsShown {
		return fmt.Sprintf("%s + %d more...", out, all-maxEndpointsShown)
	}
	return out
}

func validateSubsets(subsets []corev1.EndpointSubset) field.ErrorList {
	var errs field.ErrorList
	for i := range subsets {
		ss, at := &subsets[i], field.NewPath("subsets").Index(i)
		if len(ss.Addresses)+len(ss.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(at, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j := range ss.Addresses {
			errs = append(errs, validateEndpointAddress(&ss.Addresses[j], at.Child("addresses").Index(j))...)
		}
		for j := range ss.NotReadyAddresses {
			errs = append(errs, validateEndpointAddress(&ss.NotReadyAddresses[j], at.Child("notReadyAddresses").Index(j))...)
		}
		for j := range ss.Ports {
			p, at := &ss.Ports[j], at.Child("ports").Index(j)
			if p.Name != "" {
				errs = append(errs, check.Label(p.Name, at.Child("name"))...)
			} else if len(ss.Ports) > 1 {
				errs = append(errs, field.Required(at.Child("name"), ""))
			}
			errs = append(errs, check.Messages(validation.IsValidPortNum(int(p.Port)), p.Port, at.Child("port"))...)
			errs = append(errs, requiredOneOf(p.Protocol, protocols, at.Child("protocol"))...)
			if p.AppProtocol != nil {
				errs = append(errs, check.QualifiedName(*p.AppProtocol, at.Child("appProtocol"))...)
			}
		}
	}
	return errs
}

func validateEndpointAddress(a *corev1.EndpointAddress, at *field.Path) field.ErrorList {
	errs := validation.IsValidIPForLegacyField(at.Child("ip"), a.IP, true, nil)
	if a.Hostname != "" {
		errs = append(errs, check.Label(a.Hostname, at.Child("hostname"))...)
	}
	if a.NodeName != nil {
		errs = append(errs, check.NodeName(*a.NodeName, at.Child("nodeName"))...)
	}
	return append(errs, check.PlainIP(a.IP, at.Child("ip"))...)
}

// endpointsWarnings tells of addresses in an odd form, which may be stored already.
func endpointsWarnings(ep, _ *corev1.Endpoints) []string {
	var w []string
	for i := range ep.Subsets {
		at := field.NewPath("subsets").Index(i)
		for j, a := range ep.Subsets[i].Addresses {
			w = append(w, validation.GetWarningsForIP(at.Child("addresses").Index(j).Child("ip"), a.IP)...)
		}
		for j, a := range ep.Subsets[i].NotReadyAddresses {
			w = append(w, validation.GetWarningsForIP(at.Child("notReadyAddresses").Index(j).Child("ip"), a.IP)...)
		}
	}
	return w
}
