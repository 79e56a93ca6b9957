package managed

import (
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"
	smd "sigs.k8s.io/structured-merge-diff/v6/typed"
)

// Extra is a kind that client-go's apply configurations do not have.
type Extra struct {
	Kind schema.GroupVersionKind
	// Object is an empty object of it.
	Object any
	// Keyed names the lists that are maps, by "Type.field", with their keys; all
	// others are atomic.
	Keyed map[string][]string
}

// Types is the converter for client-go's kinds and the extra ones, whose schema
// is read off their Go types.
func Types(extras ...Extra) managedfields.TypeConverter {
	base := applyconfigurations.NewTypeConverter(scheme.Scheme)
	pod := &corev1.Pod{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	v, err := base.ObjectToTyped(pod)
	if err != nil || len(extras) == 0 {
		return base // nothing can be added
	}
	r := typeReader{schema: &smdschema.Schema{Types: append([]smdschema.TypeDef(nil), v.Schema().Types...)}, known: map[string]bool{}}
	for _, t := range r.schema.Types {
		r.known[t.Name] = true
		if t.Name == untyped {
			r.any = t.Atom
		}
	}
	c := &extended{TypeConverter: base, schema: r.schema, names: map[schema.GroupVersionKind]string{}}
	for _, x := range extras {
		r.keyed = x.Keyed
		c.names[x.Kind] = r.define(reflect.TypeOf(x.Object).Elem())
	}
	return c
}

// extended converts extra kinds itself.
type extended struct {
	managedfields.TypeConverter
	schema *smdschema.Schema
	names  map[schema.GroupVersionKind]string
}

// ObjectToTyped implements managedfields.TypeConverter.
func (c *extended) ObjectToTyped(obj runtime.Object, o ...smd.ValidationOptions) (*smd.TypedValue, error) {
	name, ok := c.names[obj.GetObjectKind().GroupVersionKind()]
	if !ok {
		return c.TypeConverter.ObjectToTyped(obj, o...)
	}
	t := smd.ParseableType{Schema: c.schema, TypeRef: smdschema.TypeRef{NamedType: &name}}
	if tree, ok := obj.(*unstructured.Unstructured); ok {
		return t.FromUnstructured(tree.UnstructuredContent(), o...)
	}
	return t.FromStructured(obj, o...)
}

// typeReader makes types of Go structs.
type typeReader struct {
	schema *smdschema.Schema
	known  map[string]bool
	keyed  map[string][]string
	any    smdschema.Atom // of what may be anything
}

const untyped = "__untyped_atomic_"

func (r *typeReader) define(t reflect.Type) string {
	name := modelName(t)
	if r.known[name] {
		return name
	}
	r.known[name] = true // it may contain itself
	if _, special := reflect.Zero(t).Interface().(interface{ OpenAPISchemaType() []string }); special {
		r.schema.Types = append(r.schema.Types, smdschema.TypeDef{Name: name, Atom: r.any})
		return name
	}
	m := &smdschema.Map{}
	r.fields(m, t)
	r.schema.Types = append(r.schema.Types, smdschema.TypeDef{Name: name, Atom: smdschema.Atom{Map: m}})
	return name
}

func (r *typeReader) fields(m *smdschema.Map, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-" || !f.IsExported():
		case tag == "" && f.Anonymous:
			r.fields(m, f.Type)
		default:
			m.Fields = append(m.Fields, smdschema.StructField{Name: tag, Type: r.ref(f.Type, t.Name()+"."+tag)})
		}
	}
}

func (r *typeReader) ref(t reflect.Type, at string) smdschema.TypeRef {
	scalar := func(s smdschema.Scalar) smdschema.TypeRef {
		return smdschema.TypeRef{Inlined: smdschema.Atom{Scalar: &s}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return r.ref(t.Elem(), at)
	case reflect.String:
		return scalar(smdschema.String)
	case reflect.Bool:
		return scalar(smdschema.Boolean)
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
		return scalar(smdschema.Numeric)
	case reflect.Struct:
		name := r.define(t)
		return smdschema.TypeRef{NamedType: &name}
	case reflect.Map:
		return smdschema.TypeRef{Inlined: smdschema.Atom{Map: &smdschema.Map{ElementType: r.ref(t.Elem(), at)}}}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return scalar(smdschema.String)
		}
		l := &smdschema.List{ElementType: r.ref(t.Elem(), at), ElementRelationship: smdschema.Atomic}
		if keys := r.keyed[at]; keys != nil {
			l.ElementRelationship, l.Keys = smdschema.Associative, keys
		}
		return smdschema.TypeRef{Inlined: smdschema.Atom{List: l}}
	}
	panic(fmt.Sprintf("managed: %s is a %s, which no kind should have", at, t))
}

// modelName is how documents call a type.
func modelName(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return n.OpenAPIModelName()
	}
	return t.PkgPath() + "." + t.Name()
}
