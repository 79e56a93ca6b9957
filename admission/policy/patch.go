package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"google.golang.org/protobuf/types/known/structpb"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	celmutation "k8s.io/apiserver/pkg/cel/mutation"
	"k8s.io/apiserver/pkg/cel/mutation/dynamic"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"proa/admission"
	"proa/apiserver/patch"
	"proa/resource"
)

// patched applies the JSON patch that an expression has made. It returns nil
// where a test of the patch does not hold.
func patched(v *admission.View, made ref.Val) (runtime.Object, error) {
	ops, err := operations(made)
	if err != nil {
		return nil, err
	}
	js, _, err := v.JSON()
	if err != nil {
		return nil, fmt.Errorf("failed to create JSON patch: %w", err)
	}
	js, err = patch.Patch{Patch: ops}.Apply(js)
	switch {
	case errors.Is(err, jsonpatch.ErrTestFailed):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("JSON Patch: %w", err)
	}
	out, err := v.Decode(js, true)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return out, nil
}

// operations turns a list of values of CEL's type JSONPatch into a patch.
func operations(made ref.Val) (jsonpatch.Patch, error) {
	list, ok := made.(traits.Lister)
	if !ok {
		return nil, fmt.Errorf("type mismatch: JSONPatchType.expression should evaluate to array")
	}
	var ops jsonpatch.Patch
	for it := list.Iterator(); it.HasNext() == types.True; {
		if len(ops) == patch.MaxOperations {
			return nil, fmt.Errorf("the allowed maximum operations in a JSON patch is %d", patch.MaxOperations)
		}
		native, err := it.Next().ConvertToNative(reflect.TypeFor[*celmutation.JSONPatchVal]())
		if err != nil {
			return nil, fmt.Errorf("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch: %w", err)
		}
		op, err := operation(native.(*celmutation.JSONPatchVal))
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func operation(o *celmutation.JSONPatchVal) (jsonpatch.Operation, error) {
	raw := func(s string) *json.RawMessage {
		r := json.RawMessage(s)
		return &r
	}
	op := jsonpatch.Operation{"op": raw(strconv.Quote(o.Op)), "path": raw(strconv.Quote(o.Path))}
	if o.From != "" {
		op["from"] = raw(strconv.Quote(o.From))
	}
	if o.Val == nil {
		return op, nil
	}
	if obj, ok := o.Val.(*dynamic.ObjectVal); ok {
		if err := obj.CheckTypeNamesMatchFieldPathNames(); err != nil {
			return nil, fmt.Errorf("type mismatch: %w", err)
		}
	}
	v, err := o.Val.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	if err == nil {
		var js []byte
		if js, err = json.Marshal(v); err == nil {
			op["value"] = raw(string(js))
			return op, nil
		}
	}
	return nil, fmt.Errorf("JSONPath valueExpression evaluated to a type that could not marshal to JSON: %w", err)
}

// applied merges the configuration that an expression has made. It owns no
// fields by that.
func (p *Mutating) applied(v *admission.View, made ref.Val) (runtime.Object, error) {
	obj, ok := made.(*dynamic.ObjectVal)
	if !ok {
		return nil, fmt.Errorf("unsupported return type from ApplyConfiguration expression: %v", made.Type())
	}
	if err := obj.CheckTypeNamesMatchFieldPathNames(); err != nil {
		return nil, fmt.Errorf("type mismatch: %w", err)
	}
	tree, ok := obj.Value().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("invalid return type: %T", made)
	}
	config := &unstructured.Unstructured{Object: tree}
	config.SetGroupVersionKind(v.Kind)
	types, err := p.types(v)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("Resource kind %s not found. There can be a delay between when CustomResourceDefinitions are created and when they are available.", v.Kind))
	}
	merged, err := merge(types, v.Object, config)
	if err != nil {
		return nil, fmt.Errorf("error applying patch: %w", err)
	}
	js, err := json.Marshal(merged)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out, err := v.Decode(js, false)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return out, nil
}

// types knows how objects of the view's kind are merged.
func (p *Mutating) types(v *admission.View) (managedfields.TypeConverter, error) {
	d, s := v.Definition()
	return p.Managed.Types(resource.Match{Definition: d, Served: s})
}

// merge merges a configuration into an object. What would replace more than it
// names is refused: atomic lists, maps and structs.
func merge(types managedfields.TypeConverter, live runtime.Object, config *unstructured.Unstructured) (runtime.Object, error) {
	part, err := types.ObjectToTyped(config)
	if err != nil {
		return nil, fmt.Errorf("failed to convert patch object to typed object: %w", err)
	}
	if atomics := findAtomics(nil, part.Schema(), part.TypeRef(), part.AsValue()); len(atomics) > 0 {
		return nil, fmt.Errorf("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: %v", strings.Join(atomics, ", "))
	}
	whole, err := types.ObjectToTyped(live, typed.AllowDuplicates)
	if err != nil {
		return nil, fmt.Errorf("failed to convert original object to typed object: %w", err)
	}
	merged, err := whole.Merge(part)
	if err != nil {
		return nil, fmt.Errorf("failed to merge patch: %w", err)
	}
	out, err := types.TypedToObject(merged)
	if err != nil {
		return nil, fmt.Errorf("failed to convert typed object to object: %w", err)
	}
	return out, nil
}

// findAtomics finds the fields of a value that are replaced as a whole.
func findAtomics(at fieldpath.Path, s *schema.Schema, tr schema.TypeRef, v value.Value) []string {
	atom, ok := s.Resolve(tr)
	if !ok {
		return nil
	}
	var found []string
	switch {
	case v.IsMap() && atom.Map != nil:
		if atom.Map.ElementRelationship == schema.Atomic {
			found = append(found, at.String())
		}
		v.AsMap().Iterate(func(key string, item value.Value) bool {
			if f, ok := atom.Map.FindField(key); ok {
				found = append(found, findAtomics(append(at, fieldpath.PathElement{FieldName: &key}), s, f.Type, item)...)
			}
			return true
		})
	case v.IsList() && atom.List != nil:
		if atom.List.ElementRelationship == schema.Atomic {
			found = append(found, at.String())
		}
		list := v.AsList()
		for i := range list.Length() {
			found = append(found, findAtomics(append(at, fieldpath.PathElement{Index: &i}), s, atom.List.ElementType, list.At(i))...)
		}
	}
	return found
}
