package patch

import (
	"reflect"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/apiserver/codec"
)

// A patch mostly touches one or two of the top-level fields of an object, but
// patches are applied to generic trees, which are dear to make of the rest. So
// only a part of the object is patched: what the patch names.

// Part returns a copy of obj with only those top-level fields that the patch
// names, and its kind. managedFields, which is the largest part of metadata,
// is left out where the patch does not name it. ok is false where the patch
// must be applied to the whole.
func Part(obj runtime.Object, changes map[string]any) (part runtime.Object, ok bool) {
	names := make([]string, 0, len(changes))
	for k := range changes {
		if strings.HasPrefix(k, "$") {
			return nil, false // a directive about the whole
		}
		names = append(names, k)
	}
	meta, _ := changes["metadata"].(map[string]any)
	if _, has := changes["metadata"]; has && meta == nil {
		return nil, false // not an object; let the whole path find the words
	}
	for k := range meta {
		if strings.HasPrefix(k, "$") || k == "managedFields" {
			return nil, false
		}
	}
	if _, dynamic := obj.(codec.Dynamic); dynamic {
		return nil, false
	}
	index, ok := fieldsOf(obj)
	if !ok {
		return nil, false
	}
	from := reflect.ValueOf(obj).Elem()
	to := reflect.New(from.Type())
	for _, name := range names {
		if i, known := index[name]; known {
			to.Elem().Field(i).Set(from.Field(i))
		}
	}
	part = to.Interface().(runtime.Object)
	if m, isObject := part.(metav1.Object); isObject {
		m.SetManagedFields(nil)
	}
	part.GetObjectKind().SetGroupVersionKind(obj.GetObjectKind().GroupVersionKind())
	return part, true
}

// Join puts the patched part back: it returns a deep copy of obj with the
// top-level fields that the patch names taken from part.
func Join(obj, part runtime.Object, changes map[string]any) runtime.Object {
	out := obj.DeepCopyObject()
	to, from := reflect.ValueOf(out).Elem(), reflect.ValueOf(part).Elem()
	index, _ := fieldsOf(obj)
	var managed []metav1.ManagedFieldsEntry
	m, isObject := out.(metav1.Object)
	if isObject {
		managed = m.GetManagedFields()
	}
	for name := range changes {
		if i, known := index[name]; known {
			to.Field(i).Set(from.Field(i))
		}
	}
	if isObject {
		m.SetManagedFields(managed)
	}
	out.GetObjectKind().SetGroupVersionKind(part.GetObjectKind().GroupVersionKind())
	return out
}

// layouts remembers the top-level fields of types by their JSON names.
var layouts sync.Map // reflect.Type → map[string]int, nil for those that are no plain objects

func fieldsOf(obj runtime.Object) (map[string]int, bool) {
	t := reflect.TypeOf(obj)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, false
	}
	if v, ok := layouts.Load(t); ok {
		m := v.(map[string]int)
		return m, m != nil
	}
	m := map[string]int{}
	for i := range t.Elem().NumField() {
		f := t.Elem().Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Type == reflect.TypeFor[metav1.TypeMeta]():
		case name == "" || name == "-" || strings.Contains(rest, "inline"):
			m = nil
		default:
			m[name] = i
		}
		if m == nil {
			break
		}
	}
	layouts.Store(t, m)
	return m, m != nil
}
