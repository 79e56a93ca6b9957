package managed

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"proa/resource/apiregistration"
)

// StandardTypes is the converter for every kind that has a Go type.
func StandardTypes() managedfields.TypeConverter {
	return Types(Extra{
		Kind:   apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"),
		Object: &apiextensionsv1.CustomResourceDefinition{},
		Keyed: map[string][]string{
			"CustomResourceDefinitionStatus.conditions": {"type"},
			"JSONSchemaProps.x-kubernetes-validations":  {"rule"},
		},
	}, Extra{
		Kind:   apiregistration.SchemeGroupVersion.WithKind("APIService"),
		Object: &apiregistration.APIService{},
		Keyed:  map[string][]string{"APIServiceStatus.conditions": {"type"}},
	})
}
