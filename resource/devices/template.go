package devices

import (
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ResourceClaimTemplate is the row of templates of claims, of which pods get
// claims of their own.
func ResourceClaimTemplate() *resource.Definition {
	return resource.Row[*resourcev1.ResourceClaimTemplate]{
		Storage:      resourcev1.SchemeGroupVersion,
		Kind:         "ResourceClaimTemplate",
		Plural:       "resourceclaimtemplates",
		New:          func() *resourcev1.ResourceClaimTemplate { return new(resourcev1.ResourceClaimTemplate) },
		NewList:      func() runtime.Object { return new(resourcev1.ResourceClaimTemplateList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      func(t *resourcev1.ResourceClaimTemplate) { defaultClaim(&t.Spec.Spec) },
		Validate:     validateTemplate,
		ValidateUpdate: func(t, old *resourcev1.ResourceClaimTemplate) field.ErrorList {
			return append(validateTemplate(t), immutable(&t.Spec, &old.Spec, field.NewPath("spec"))...)
		},
		Columns: []metav1.TableColumnDefinition{columns.Name(), columns.Age()},
		Cells: func(t *resourcev1.ResourceClaimTemplate, now time.Time) []any {
			return []any{t.Name, columns.Since(t.CreationTimestamp, now)}
		},
	}.Define()
}

func validateTemplate(t *resourcev1.ResourceClaimTemplate) field.ErrorList {
	at := field.NewPath("spec")
	errs := check.TemplateMetadata(&t.Spec.ObjectMeta, at.Child("metadata"))
	return append(errs, validateClaimSpec(&t.Spec.Spec, at.Child("spec"))...)
}
