package apiextensions

import (
	"context"
	"fmt"
	"slices"
	"time"

	internal "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/resource"
	"proa/resource/columns"
)

// CustomResourceDefinition is the row of definitions of custom resources.
func CustomResourceDefinition() *resource.Definition {
	return resource.Row[*apiextensionsv1.CustomResourceDefinition]{
		Storage:                apiextensionsv1.SchemeGroupVersion,
		Kind:                   "CustomResourceDefinition",
		Plural:                 "customresourcedefinitions",
		ShortNames:             []string{"crd", "crds"},
		Categories:             []string{"api-extensions"},
		Prefix:                 "apiextensions.k8s.io/customresourcedefinitions",
		ClusterScoped:          true,
		RequireResourceVersion: true,
		New: func() *apiextensionsv1.CustomResourceDefinition {
			return new(apiextensionsv1.CustomResourceDefinition)
		},
		NewList:      func() runtime.Object { return new(apiextensionsv1.CustomResourceDefinitionList) },
		Former:       []resource.Version[*apiextensionsv1.CustomResourceDefinition]{v1beta1()},
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default: func(d *apiextensionsv1.CustomResourceDefinition) {
			apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(d)
			// A webhook that says nothing is none.
			if c := d.Spec.Conversion; c != nil && c.Webhook != nil && c.Webhook.ClientConfig == nil && len(c.Webhook.ConversionReviewVersions) == 0 {
				c.Webhook = nil
			}
		},
		PrepareCreate: prepareCreate,
		PrepareUpdate: func(_ *resource.Request, d, old *apiextensionsv1.CustomResourceDefinition) {
			d.Status = *old.Status.DeepCopy()
			addStored(d)
		},
		StoredAsJSON: true,
		AnyFinalizer: true,
		CleanUp:      apiextensionsv1.CustomResourceCleanupFinalizer,
		MarkDeleted:  markDeleted,
		Validate:     validate,
		ValidateUpdate: func(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
			return both(d, old, func(n, o *internal.CustomResourceDefinition) field.ErrorList {
				return validation.ValidateCustomResourceDefinitionUpdate(context.Background(), n, o)
			})
		},
		Warnings: warnings,
		Spec:     func(d *apiextensionsv1.CustomResourceDefinition) any { return &d.Spec },
		Updates: map[string]resource.Update[*apiextensionsv1.CustomResourceDefinition]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, d, old *apiextensionsv1.CustomResourceDefinition) {
					// Not a copy: schemas are large, nothing writes to them after this, and
					// the cache holds both states.
					d.Spec = old.Spec
				},
				ValidateUpdate: func(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
					return both(d, old, validation.ValidateUpdateCustomResourceDefinitionStatus)
				},
			},
		},
		Columns: []metav1.TableColumnDefinition{columns.Name(), createdAt()},
		Cells: func(d *apiextensionsv1.CustomResourceDefinition, _ time.Time) []any {
			return []any{d.Name, d.CreationTimestamp.UTC().Format(time.RFC3339)}
		},
	}.Define()
}

func prepareCreate(_ *resource.Request, d *apiextensionsv1.CustomResourceDefinition) {
	d.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
	addStored(d)
}

// addStored notes the version in which objects are stored from now on. Only an
// administrator who has rewritten all objects may take one out again.
func addStored(d *apiextensionsv1.CustomResourceDefinition) {
	// There is one; a definition with more is refused.
	i := slices.IndexFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Storage })
	if i < 0 {
		return
	}
	if name := d.Spec.Versions[i].Name; !slices.Contains(d.Status.StoredVersions, name) {
		d.Status.StoredVersions = append(d.Status.StoredVersions, name)
	}
}

// markDeleted says at once that a definition is going away, so that nothing is
// created of it while its objects are deleted.
func markDeleted(req *resource.Request, d *apiextensionsv1.CustomResourceDefinition) {
	SetCondition(d, apiextensionsv1.CustomResourceDefinitionCondition{
		Type: apiextensionsv1.Terminating, Status: apiextensionsv1.ConditionTrue, Reason: "InstanceDeletionPending",
		Message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
	}, req.Now)
}

func validate(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	in, errs := toInternal(d)
	if errs != nil {
		return errs
	}
	return validation.ValidateCustomResourceDefinition(context.Background(), in)
}

// both checks a change with the rules that are written for the internal form.
func both(d, old *apiextensionsv1.CustomResourceDefinition, check func(n, o *internal.CustomResourceDefinition) field.ErrorList) field.ErrorList {
	n, errs := toInternal(d)
	if errs != nil {
		return errs
	}
	o, errs := toInternal(old)
	if errs != nil {
		return errs
	}
	return check(n, o)
}

func toInternal(d *apiextensionsv1.CustomResourceDefinition) (*internal.CustomResourceDefinition, field.ErrorList) {
	out := &internal.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d.DeepCopy(), out, nil); err != nil {
		return nil, field.ErrorList{field.InternalError(nil, err)}
	}
	return out, nil
}

// warnings name the formats that nobody checks and that old did not have.
func warnings(d, old *apiextensionsv1.CustomResourceDefinition) []string {
	known := map[string]bool{}
	if old != nil {
		for _, f := range unknownFormats(old) {
			known[f] = true
		}
	}
	var out []string
	for _, f := range unknownFormats(d) {
		if !known[f] {
			out = append(out, fmt.Sprintf("unrecognized format %q", f))
		}
	}
	return out
}

func unknownFormats(d *apiextensionsv1.CustomResourceDefinition) []string {
	in, errs := toInternal(d)
	if errs != nil {
		return nil
	}
	var out []string
	look := func(s *internal.JSONSchemaProps) bool {
		if s.Format != "" {
			out = append(out, apiservervalidation.GetUnrecognizedFormats(&spec.Schema{
				SchemaProps: spec.SchemaProps{Format: s.Format, Type: []string{s.Type}},
			}, environment.DefaultCompatibilityVersion())...)
		}
		return false
	}
	if v := in.Spec.Validation; v != nil {
		validation.SchemaHas(v.OpenAPIV3Schema, look)
	}
	for _, v := range in.Spec.Versions {
		if v.Schema != nil {
			validation.SchemaHas(v.Schema.OpenAPIV3Schema, look)
		}
	}
	return out
}

// createdAt is a date here, not a text as of other kinds.
func createdAt() metav1.TableColumnDefinition {
	c := columns.CreatedAt()
	c.Type = "date"
	return c
}
