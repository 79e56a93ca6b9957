package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// PodTemplate is the row of pod templates that stand for themselves.
func PodTemplate() *resource.Definition {
	at := field.NewPath("template")
	return resource.Row[*corev1.PodTemplate]{
		Storage:      corev1.SchemeGroupVersion,
		Kind:         "PodTemplate",
		Plural:       "podtemplates",
		New:          func() *corev1.PodTemplate { return new(corev1.PodTemplate) },
		NewList:      func() runtime.Object { return new(corev1.PodTemplateList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      func(t *corev1.PodTemplate) { DefaultPodSpec(&t.Template.Spec) },
		PrepareCreate: func(_ *resource.Request, t *corev1.PodTemplate) {
			DropDisabledTemplateFields(&t.Template, nil)
		},
		PrepareUpdate: func(_ *resource.Request, t, old *corev1.PodTemplate) {
			DropDisabledTemplateFields(&t.Template, &old.Template)
		},
		Validate: func(t *corev1.PodTemplate) field.ErrorList {
			return ValidatePodTemplateSpec(&t.Template, at, TemplateOptions(nil))
		},
		ValidateUpdate: func(t, old *corev1.PodTemplate) field.ErrorList {
			return ValidatePodTemplateSpec(&t.Template, at, TemplateOptions(&old.Template))
		},
		Warnings: func(t, old *corev1.PodTemplate) []string {
			var was *corev1.PodTemplateSpec
			if old != nil {
				was = &old.Template
			}
			return PodTemplateWarnings(&t.Template, was, at)
		},
		Spec: func(t *corev1.PodTemplate) any { return &t.Template },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Containers", "Names of each container in the template."),
			columns.String("Images", "Images referenced by each container in the template."),
			columns.String("Pod Labels", "The labels for the pod template."),
		},
		Cells: func(t *corev1.PodTemplate, _ time.Time) []any {
			names, images := columns.Containers(t.Template.Spec.Containers)
			return []any{t.Name, names, images, columns.Labels(t.Template.Labels)}
		},
	}.Define()
}
