package custom

import (
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"proa/resource"
)

// Version is one version of a kind, and what was compiled of it so far.
type Version struct {
	kind *Kind
	gv   schema.GroupVersion
	spec *apiextensionsv1.CustomResourceDefinitionVersion

	structural func() (*structural.Structural, error)
	rewrites   func() bool
	// fillsStatus: an object without a status is read with a default one.
	fillsStatus func() bool
	checks      func() (*checks, error)
	columns     func() *columns
	selectable  func() []selectable
}

// checks are the validators of a version.
type checks struct {
	schema validation.SchemaValidator
	status validation.SchemaValidator
	rules  *cel.Validator // nil: there are none
}

func newVersion(k *Kind, spec *apiextensionsv1.CustomResourceDefinitionVersion) *Version {
	v := &Version{kind: k, gv: schema.GroupVersion{Group: k.group, Version: spec.Name}, spec: spec}
	v.structural = sync.OnceValues(v.compileStructural)
	v.rewrites = sync.OnceValue(func() bool {
		s, err := v.structural()
		return err == nil && s != nil && rewrites(s)
	})
	v.fillsStatus = sync.OnceValue(func() bool {
		s, err := v.structural()
		return err == nil && s != nil && v.hasStatus() && s.Properties["status"].Default.Object != nil
	})
	v.checks = sync.OnceValues(v.compileChecks)
	v.columns = sync.OnceValue(func() *columns { return compileColumns(spec.AdditionalPrinterColumns) })
	v.selectable = sync.OnceValue(func() []selectable { return compileSelectable(spec.SelectableFields) })
	return v
}

// New makes an empty object of the version.
func (v *Version) New() *Object { return &Object{version: v} }

func (v *Version) hasStatus() bool {
	return v.spec.Subresources != nil && v.spec.Subresources.Status != nil
}

func (v *Version) scale() *apiextensionsv1.CustomResourceSubresourceScale {
	if v.spec.Subresources == nil {
		return nil
	}
	return v.spec.Subresources.Scale
}

// internal is the schema in the form that the structural packages work on, or
// nil where there is none.
func (v *Version) internal() (*apiextensions.JSONSchemaProps, error) {
	if v.spec.Schema == nil || v.spec.Schema.OpenAPIV3Schema == nil {
		return nil, nil
	}
	out := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.spec.Schema, out, nil); err != nil {
		return nil, fmt.Errorf("schema of %s %s: %w", v.kind.name, v.gv.Version, err)
	}
	return out.OpenAPIV3Schema, nil
}

// compileStructural returns nil where there is no schema, or one that an old
// CRD with preserveUnknownFields may still have.
func (v *Version) compileStructural() (*structural.Structural, error) {
	props, err := v.internal()
	if props == nil || err != nil {
		return nil, err
	}
	s, err := structural.NewStructural(props)
	if v.kind.preserve {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("schema of %s %s: %w", v.kind.name, v.gv.Version, err)
	}
	s = s.DeepCopy() // defaults are shared with the CRD
	if err := defaulting.PruneDefaults(s); err != nil {
		return nil, fmt.Errorf("defaults of %s %s: %w", v.kind.name, v.gv.Version, err)
	}
	return s, nil
}

// rewrites reports whether reading by the schema may change an object in other
// ways than by leaving out what is unknown: by defaults, or in the metadata of
// embedded objects.
func rewrites(s *structural.Structural) bool {
	found := false
	visitor := structural.Visitor{Structural: func(s *structural.Structural) bool {
		found = found || s.Default.Object != nil || s.XEmbeddedResource
		return false
	}}
	visitor.Visit(s)
	return found
}

func (v *Version) compileChecks() (*checks, error) {
	props, err := v.internal()
	if err != nil {
		return nil, err
	}
	s, err := v.structural()
	if err != nil {
		return nil, err
	}
	c := &checks{}
	if c.schema, _, err = validation.NewSchemaValidator(props); err != nil {
		return nil, err
	}
	if props != nil && v.hasStatus() {
		if status, ok := props.Properties["status"]; ok {
			if c.status, _, err = validation.NewSchemaValidator(&status); err != nil {
				return nil, err
			}
		}
	}
	if s != nil {
		c.rules = cel.NewValidator(s, true, celconfig.PerCallLimit)
	}
	return c, nil
}

// of returns an object in this version.
func (v *Version) of(obj resource.Object) (*Object, error) {
	o := obj.(*Object)
	if o.version == v {
		return o, nil
	}
	return v.kind.convert(o, v)
}
