package openapi

import (
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/resource"
)

// schemas builds definitions of Go types, and of all types that they contain.
type schemas struct {
	// ref is where definitions lie: "#/components/schemas/" or "#/definitions/".
	ref   string
	v2    bool
	merge *mergeSchema
	out   map[string]spec.Schema
}

// named types say how they are called in documents.
type named interface{ OpenAPIModelName() string }

// special types say how they look in JSON.
type (
	special       interface{ OpenAPISchemaType() []string }
	specialFormat interface{ OpenAPISchemaFormat() string }
	specialOneOf  interface{ OpenAPIV3OneOfTypes() []string }
	documented    interface{ SwaggerDoc() map[string]string }
)

// nameOf is the name of a type's definition: its own word, or its path.
func nameOf(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(named); ok {
		return n.OpenAPIModelName()
	}
	parts := strings.Split(t.PkgPath(), "/")
	host := strings.Split(parts[0], ".")
	for i, j := 0, len(host)-1; i < j; i, j = i+1, j-1 {
		host[i], host[j] = host[j], host[i]
	}
	return strings.Join(append(host, parts[1:]...), ".") + "." + t.Name()
}

// kind adds the definitions of a resource's objects and of lists of them, and
// returns their names.
func (s *schemas) kind(d *resource.Definition, v *resource.Served) (obj, list string) {
	if d.Dynamic != nil {
		return s.dynamic(d, v)
	}
	obj = s.define(reflect.TypeOf(v.New()).Elem())
	if v.NewList == nil {
		return obj, obj
	}
	return obj, s.define(reflect.TypeOf(v.NewList()).Elem())
}

// dynamic is kind for what has no Go type: the definition brings its schemas.
func (s *schemas) dynamic(d *resource.Definition, v *resource.Served) (obj, list string) {
	parts := strings.Split(v.GroupVersion.Group, ".")
	slices.Reverse(parts)
	base := strings.Join(append(parts, v.GroupVersion.Version), ".") + "."
	obj, list = base+v.Kind, base+v.ListKind
	if _, ok := s.out[obj]; !ok {
		s.define(reflect.TypeFor[metav1.ObjectMeta]())
		s.define(reflect.TypeFor[metav1.ListMeta]())
		o, l := d.Dynamic.OpenAPI(v, s.ref, s.v2)
		s.out[obj], s.out[list] = *o, *l
	}
	return obj, list
}

// define adds the definition of a struct type, and returns its name.
func (s *schemas) define(t reflect.Type) string {
	name := nameOf(t)
	if _, ok := s.out[name]; ok {
		return name
	}
	s.out[name] = spec.Schema{} // so that types may contain themselves
	s.out[name] = s.definition(t, name)
	return name
}

func (s *schemas) definition(t reflect.Type, name string) spec.Schema {
	zero := reflect.Zero(t).Interface()
	var out spec.Schema
	doc := docOf(t)
	out.Description = doc[""]
	if sp, ok := zero.(special); ok {
		s.special(&out, zero, sp)
		return out
	}
	if isRaw(t) || t.Kind() != reflect.Struct {
		out.Type = spec.StringOrArray{"object"}
		return out
	}
	out.Type = spec.StringOrArray{"object"}
	out.Properties = map[string]spec.Schema{}
	s.fields(&out, t, name)
	s.merge.describe(&out, name)
	return out
}

// special writes the schema of a type that encodes itself.
func (s *schemas) special(out *spec.Schema, zero any, sp special) {
	if one, ok := zero.(specialOneOf); ok && !s.v2 && len(one.OpenAPIV3OneOfTypes()) > 0 {
		for _, t := range one.OpenAPIV3OneOfTypes() {
			out.OneOf = append(out.OneOf, spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{t}}})
		}
	} else {
		out.Type = sp.OpenAPISchemaType()
	}
	if f, ok := zero.(specialFormat); ok {
		out.Format = f.OpenAPISchemaFormat()
	}
}

// isRaw tells types whose JSON is anything.
func isRaw(t reflect.Type) bool {
	switch t.Name() {
	case "RawExtension", "FieldsV1", "Unknown":
		return true
	}
	return false
}

func docOf(t reflect.Type) map[string]string {
	if d, ok := reflect.Zero(t).Interface().(documented); ok {
		return d.SwaggerDoc()
	}
	return nil
}

func (s *schemas) fields(out *spec.Schema, t reflect.Type, name string) {
	doc := docOf(t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" || !f.IsExported() {
			continue
		}
		if tag == "" {
			if f.Anonymous && f.Type.Kind() == reflect.Struct {
				s.fields(out, f.Type, name)
			}
			continue
		}
		p := s.property(f.Type)
		p = describe(p, doc[tag])
		if k := f.Tag.Get("patchMergeKey"); k != "" {
			p.AddExtension("x-kubernetes-patch-merge-key", k)
		}
		if k := f.Tag.Get("patchStrategy"); k != "" {
			p.AddExtension("x-kubernetes-patch-strategy", k)
		}
		s.merge.field(&p, name, tag)
		out.Properties[tag] = p
		if !strings.Contains(opts, "omitempty") && !strings.Contains(opts, "omitzero") && f.Type.Kind() != reflect.Pointer {
			out.Required = append(out.Required, tag)
		}
	}
}

// describe adds a description to a property. Beside a reference it has to be
// set apart, for what stands beside a reference is ignored.
func describe(p spec.Schema, text string) spec.Schema {
	if text == "" {
		return p
	}
	if p.Ref.String() == "" {
		p.Description = text
		return p
	}
	return spec.Schema{SchemaProps: spec.SchemaProps{Description: text, AllOf: []spec.Schema{p}}}
}

// property is the schema of a value of type t inside another type.
func (s *schemas) property(t reflect.Type) spec.Schema {
	var out spec.Schema
	set := func(typ, format string) spec.Schema {
		out.Type, out.Format = spec.StringOrArray{typ}, format
		return out
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.property(t.Elem())
	case reflect.Struct:
		out.Ref = spec.MustCreateRef(s.ref + s.define(t))
		return out
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return set("string", "byte")
		}
		item := s.property(t.Elem())
		out.Items = &spec.SchemaOrArray{Schema: &item}
		return set("array", "")
	case reflect.Map:
		value := s.property(t.Elem())
		out.AdditionalProperties = &spec.SchemaOrBool{Allows: true, Schema: &value}
		return set("object", "")
	case reflect.String:
		return set("string", "")
	case reflect.Bool:
		return set("boolean", "")
	case reflect.Float32:
		return set("number", "float")
	case reflect.Float64:
		return set("number", "double")
	case reflect.Int64, reflect.Uint64:
		return set("integer", "int64")
	case reflect.Interface:
		return set("object", "")
	default:
		return set("integer", "int32")
	}
}
