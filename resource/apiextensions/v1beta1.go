package apiextensions

import (
	"fmt"

	internal "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/resource"
)

// v1beta1 is the version in which upstream stores definitions to this day,
// though it is not served any more.
func v1beta1() resource.Version[*apiextensionsv1.CustomResourceDefinition] {
	return resource.Version[*apiextensionsv1.CustomResourceDefinition]{
		GroupVersion: apiextensionsv1beta1.SchemeGroupVersion,
		New:          func() resource.Object { return new(apiextensionsv1beta1.CustomResourceDefinition) },
		NewList:      func() runtime.Object { return new(apiextensionsv1beta1.CustomResourceDefinitionList) },
		Default: func(obj resource.Object) {
			apiextensionsv1beta1.SetObjectDefaults_CustomResourceDefinition(obj.(*apiextensionsv1beta1.CustomResourceDefinition))
		},
		To: func(d *apiextensionsv1.CustomResourceDefinition) (resource.Object, error) {
			in, errs := toInternal(d)
			if errs != nil {
				return nil, errs.ToAggregate()
			}
			out := &apiextensionsv1beta1.CustomResourceDefinition{}
			if err := apiextensionsv1beta1.Convert_apiextensions_CustomResourceDefinition_To_v1beta1_CustomResourceDefinition(in, out, nil); err != nil {
				return nil, err
			}
			return out, nil
		},
		From: func(obj resource.Object) (*apiextensionsv1.CustomResourceDefinition, error) {
			d, ok := obj.DeepCopyObject().(*apiextensionsv1beta1.CustomResourceDefinition)
			if !ok {
				return nil, fmt.Errorf("a %T is no definition of v1beta1", obj)
			}
			in := &internal.CustomResourceDefinition{}
			if err := apiextensionsv1beta1.Convert_v1beta1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d, in, nil); err != nil {
				return nil, err
			}
			out := &apiextensionsv1.CustomResourceDefinition{}
			if err := apiextensionsv1.Convert_apiextensions_CustomResourceDefinition_To_v1_CustomResourceDefinition(in, out, nil); err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}
