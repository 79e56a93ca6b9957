package custom

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// metaTypes begins the names of the types of metadata.
const metaTypes = "io.k8s.apimachinery.pkg.apis.meta.v1."

// typeConverter converts between objects of a kind and what structured-merge-diff works
// on, by the schemas of all versions.
type typeConverter struct {
	kind   *Kind
	schema *schema.Schema
}

// types returns the converter, which is made once. Base has the types of
// metadata, which are taken over.
func (k *Kind) types(base *schema.Schema) (managedfields.TypeConverter, error) {
	k.converter.Lock()
	defer k.converter.Unlock()
	var err error
	if k.converter.made == nil {
		k.converter.made, err = k.makeTypes(base)
	}
	return k.converter.made, err
}

func (k *Kind) makeTypes(base *schema.Schema) (managedfields.TypeConverter, error) {
	models := map[string]*spec.Schema{}
	for _, v := range k.versions {
		obj, err := v.describe(refV3, describing{})
		if err != nil {
			return nil, err
		}
		models[v.modelName(k.names.Kind)] = obj
	}
	s, err := schemaconv.ToSchemaFromOpenAPI(models, k.preserve)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", k.name, err)
	}
	for _, t := range base.Types {
		if strings.HasPrefix(t.Name, metaTypes) {
			s.Types = append(s.Types, t)
		}
	}
	return &typeConverter{k, s}, nil
}

// ObjectToTyped implements managedfields.TypeConverter.
func (t *typeConverter) ObjectToTyped(obj runtime.Object, o ...typed.ValidationOptions) (*typed.TypedValue, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	var tree map[string]any
	switch obj := obj.(type) {
	case *Object:
		gvk = obj.version.gv.WithKind(t.kind.names.Kind)
		tree = obj.typedContent()
	case *unstructured.Unstructured:
		tree = obj.UnstructuredContent()
	default:
		return nil, fmt.Errorf("a %T is not a custom resource", obj)
	}
	v := t.kind.versions[gvk.Version]
	if v == nil || gvk.Group != t.kind.group || gvk.Kind != t.kind.names.Kind {
		return nil, fmt.Errorf("no corresponding type for %v", gvk)
	}
	name := v.modelName(gvk.Kind)
	return typed.AsTyped(value.NewValueInterface(tree), t.schema, schema.TypeRef{NamedType: &name}, o...)
}

// TypedToObject implements managedfields.TypeConverter.
func (t *typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	tree, ok := v.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a %T is not an object", v.AsValue().Unstructured())
	}
	return &unstructured.Unstructured{Object: tree}, nil
}
