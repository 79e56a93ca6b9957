package managed

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
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
	})
}
