package discovery

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// EndpointSlice is the row of endpoint slices.
func EndpointSlice() *resource.Definition {
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	return resource.Row[*discoveryv1.EndpointSlice]{
		Storage:        discoveryv1.SchemeGroupVersion,
		Kind:           "EndpointSlice",
		Plural:         "endpointslices",
		New:            func() *discoveryv1.EndpointSlice { return new(discoveryv1.EndpointSlice) },
		NewList:        func() runtime.Object { return new(discoveryv1.EndpointSliceList) },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		CreateOnUpdate: true,
		Default:        defaultEndpointSlice,
		PrepareCreate: func(_ *resource.Request, s *discoveryv1.EndpointSlice) {
			dropTopology(s, nil)
		},
		PrepareUpdate: func(_ *resource.Request, s, old *discoveryv1.EndpointSlice) {
			if !check.Equal(s.Endpoints, old.Endpoints) {
				dropTopology(s, old)
			}
		},
		// A slice has neither spec nor status, so all of its content counts as
		// its spec, and its labels too: they say which service it belongs to.
		Spec: func(s *discoveryv1.EndpointSlice) any {
			return []any{s.AddressType, s.Endpoints, s.Ports, s.Labels}
		},
		Validate:       func(s *discoveryv1.EndpointSlice) field.ErrorList { return validateEndpointSlice(s, nil) },
		ValidateUpdate: validateEndpointSliceUpdate,
		Warnings:       func(s, _ *discoveryv1.EndpointSlice) []string { return endpointSliceWarnings(s) },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("AddressType", doc["addressType"]),
			columns.String("Ports", doc["ports"]),
			columns.String("Endpoints", doc["endpoints"]),
			columns.Age(),
		},
		Cells: func(s *discoveryv1.EndpointSlice, now time.Time) []any {
			return []any{s.Name, string(s.AddressType), portsCell(s.Ports), addressesCell(s.Endpoints), columns.Since(s.CreationTimestamp, now)}
		},
	}.Define()
}

func defaultEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Name == nil {
			p.Name = new("")
		}
		if p.Protocol == nil {
			p.Protocol = new(corev1.ProtocolTCP)
		}
	}
}

// dropTopology removes deprecatedTopology, which v1 can read but not write. A
// client that only knows the older field and writes back what it has read must
// not lose the node name, so a host name that was in the old object becomes the
// node name.
func dropTopology(s, old *discoveryv1.EndpointSlice) {
	var known []string
	if old != nil {
		for i := range old.Endpoints {
			if host, ok := old.Endpoints[i].DeprecatedTopology[corev1.LabelHostname]; ok {
				known = append(known, host)
			}
		}
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		host, ok := e.DeprecatedTopology[corev1.LabelHostname]
		if ok && e.NodeName == nil && slices.Contains(known, host) && len(validation.IsDNS1123Subdomain(host)) == 0 {
			e.NodeName = &host
		}
		e.DeprecatedTopology = nil
	}
}
