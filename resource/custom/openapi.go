package custom

import (
	"fmt"
	"slices"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Where definitions lie in documents of OpenAPI v3.
const refV3 = "#/components/schemas/"

const (
	kindExtension       = "x-kubernetes-group-version-kind"
	selectableExtension = "x-kubernetes-selectable-fields"
)

// describing says for whom a schema is written.
type describing struct {
	// v2 leaves out what OpenAPI v2, and kubectl's reading of it, cannot say.
	v2 bool
	// published adds what only readers of documents want.
	published bool
}

// openAPI describes the objects of the version and lists of them.
func (v *Version) openAPI(ref string, v2 bool) (obj, list *spec.Schema) {
	d := describing{v2: v2, published: true}
	obj, err := v.describe(ref, d)
	if err != nil {
		obj = &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
	}
	return obj, v.describeList(ref)
}

// described is the schema that documents show: unfolded, and nothing where it
// breaks the rules for structural schemas.
func (v *Version) described() (*structural.Structural, error) {
	props, err := v.internal()
	if props == nil || err != nil {
		return nil, err
	}
	s, err := structural.NewStructural(props)
	if err != nil || len(structural.ValidateStructural(nil, s)) > 0 {
		return nil, nil
	}
	return s.DeepCopy().Unfold(), nil
}

func (v *Version) describe(ref string, d describing) (*spec.Schema, error) {
	s, err := v.described()
	if err != nil {
		return nil, err
	}
	out := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
	switch {
	case s == nil, d.v2 && (s.XPreserveUnknownFields || v.kind.preserve):
		// Properties would be taken for all that there may be.
	default:
		if d.v2 {
			simplify(s)
		}
		out = s.ToKubeOpenAPI()
		typeMeta(out)
		out.SetProperty("metadata", *metaRef(ref, "ObjectMeta", metav1.PartialObjectMetadata{}.SwaggerDoc()["metadata"]))
		embed(out, ref, d.v2)
	}
	out.AddExtension(kindExtension, []any{v.gvk(v.kind.names.Kind)})
	if d.published {
		v.addSelectable(out)
	}
	return out, nil
}

func (v *Version) describeList(ref string) *spec.Schema {
	k := v.kind.names
	text := fmt.Sprintf("List of %s. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md", k.Plural)
	out := new(spec.Schema).Typed("object", "").
		WithDescription(fmt.Sprintf("%s is a list of %s", k.ListKind, k.Kind)).
		WithRequired("items").
		SetProperty("items", *spec.ArrayProperty(spec.RefSchema(ref + v.modelName(k.Kind))).WithDescription(text)).
		SetProperty("metadata", *metaRef(ref, "ListMeta", metav1.PartialObjectMetadataList{}.SwaggerDoc()["metadata"]))
	typeMeta(out)
	out.AddExtension(kindExtension, []any{v.gvk(k.ListKind)})
	v.addSelectable(out)
	return out
}

func (v *Version) gvk(kind string) map[string]any {
	return map[string]any{"group": v.gv.Group, "version": v.gv.Version, "kind": kind}
}

func (v *Version) addSelectable(s *spec.Schema) {
	var out []any
	for _, f := range v.spec.SelectableFields {
		out = append(out, map[string]any{"fieldPath": strings.TrimPrefix(f.JSONPath, ".")})
	}
	if out != nil {
		s.AddExtension(selectableExtension, out)
	}
}

// metaRef refers to a type of metadata, with a description. OpenAPI v3 knows
// nothing beside a reference.
func metaRef(ref, name, text string) *spec.Schema {
	to := spec.RefSchema(ref + metaTypes + name)
	if ref == refV3 {
		return &spec.Schema{SchemaProps: spec.SchemaProps{Description: text, AllOf: []spec.Schema{*to}}}
	}
	return to.WithDescription(text)
}

// typeMeta adds the two fields of every object.
func typeMeta(s *spec.Schema) {
	doc := metav1.TypeMeta{}.SwaggerDoc()
	s.SetProperty("apiVersion", *spec.StringProperty().WithDescription(doc["apiVersion"]))
	s.SetProperty("kind", *spec.StringProperty().WithDescription(doc["kind"]))
}

// embed adds to objects inside of others what every object has.
func embed(s *spec.Schema, ref string, v2 bool) {
	if s == nil {
		return
	}
	for name, p := range s.Properties {
		embed(&p, ref, v2)
		s.Properties[name] = p
	}
	if s.Items != nil {
		embed(s.Items.Schema, ref, v2)
	}
	if s.AdditionalProperties != nil {
		embed(s.AdditionalProperties.Schema, ref, v2)
	}
	if any, _ := s.Extensions.GetBool("x-kubernetes-preserve-unknown-fields"); any && v2 {
		return // kubectl would take the properties for all that there may be
	}
	if is, _ := s.Extensions.GetBool("x-kubernetes-embedded-resource"); !is {
		return
	}
	typeMeta(s)
	s.SetProperty("metadata", *metaRef(ref, "ObjectMeta", metav1.PartialObjectMetadata{}.SwaggerDoc()["metadata"]))
	for _, name := range []string{"kind", "apiVersion"} {
		if !slices.Contains(s.Required, name) {
			s.Required = append(s.Required, name)
		}
	}
}

// simplify takes from a schema what OpenAPI v2 does not have, and what kubectl
// misreads there: the properties beside which others may stand, arrays without
// items, and what may be null.
func simplify(s *structural.Structural) {
	mapper := structural.Visitor{Structural: func(s *structural.Structural) bool {
		if s.ValueValidation != nil {
			s.ValueValidation.AllOf, s.ValueValidation.OneOf, s.ValueValidation.AnyOf, s.ValueValidation.Not = nil, nil, nil, nil
		}
		for name, p := range s.Properties {
			if p.Nullable && s.ValueValidation != nil {
				s.ValueValidation.Required = slices.DeleteFunc(slices.Clone(s.ValueValidation.Required), func(r string) bool { return r == name })
			}
		}
		if a := s.AdditionalProperties; a != nil && a.Structural != nil && a.Structural.Nullable && s.ValueValidation != nil {
			s.ValueValidation.Required = nil
		}
		if s.Nullable {
			s.Type, s.Nullable, s.Items, s.Properties = "", false, nil, nil
		}
		if s.XPreserveUnknownFields {
			s.Items, s.Properties = nil, nil
			if s.Type == "object" {
				s.Type = ""
			}
		}
		if s.Type == "array" && s.Items == nil {
			s.Type = ""
		}
		return true
	}}
	mapper.Visit(s)
}
