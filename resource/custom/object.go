package custom

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Object is a custom resource. Whoever owns one may open it and change its
// fields; one that is shared (every object of the cache) is only read.
type Object struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	version *Version
	// rest are the members beside apiVersion, kind and metadata as JSON, in the
	// order of their names and without the braces, unless the object is open.
	rest []byte
	// tree has the same members while the object is open; nil otherwise.
	tree map[string]any
}

// header are the members that rest and tree leave out.
var header = []string{"apiVersion", "kind", "metadata"}

// Version is what the object is an object of.
func (o *Object) Version() *Version { return o.version }

// open parses the rest of an owned object, to be changed.
func (o *Object) open() map[string]any {
	if o.tree == nil {
		o.tree, o.rest = parse(o.rest), nil
	}
	return o.tree
}

// fields are the members of an object beside its header, to be read only.
func (o *Object) fields() map[string]any {
	if o.tree != nil {
		return o.tree
	}
	return parse(o.rest)
}

// seal turns an owned object back into bytes.
func (o *Object) seal() error {
	if o.tree == nil {
		return nil
	}
	b, err := utiljson.Marshal(o.tree)
	if err != nil {
		return err
	}
	o.rest, o.tree = b[1:len(b)-1], nil
	return nil
}

// parse reads members that this package has encoded, or checked, before.
func parse(rest []byte) map[string]any {
	tree := map[string]any{}
	if len(rest) == 0 {
		return tree
	}
	b := make([]byte, 0, len(rest)+2)
	b = append(append(append(b, '{'), rest...), '}')
	if err := utiljson.Unmarshal(b, &tree); err != nil {
		panic(fmt.Sprintf("custom: an object in memory is not JSON: %v", err))
	}
	return tree
}

// UnstructuredContent is the object as a generic tree, which belongs to the
// caller as far as the object is not open: then its fields are shared.
func (o *Object) UnstructuredContent() map[string]any {
	out := maps.Clone(o.fields())
	if o.APIVersion != "" {
		out["apiVersion"] = o.APIVersion
	}
	if o.Kind != "" {
		out["kind"] = o.Kind
	}
	meta, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&o.ObjectMeta)
	if err != nil {
		panic(fmt.Sprintf("custom: metadata has no generic form: %v", err))
	}
	out["metadata"] = meta
	return out
}

// typedContent is UnstructuredContent with the kind of its version, which
// objects of the cache leave out.
func (o *Object) typedContent() map[string]any {
	out := o.UnstructuredContent()
	out["apiVersion"], out["kind"] = o.version.gv.String(), o.version.kind.names.Kind
	return out
}

// MarshalJSON implements json.Marshaler.
func (o *Object) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil) }

// AppendJSON appends the object as compact JSON.
func (o *Object) AppendJSON(dst []byte) ([]byte, error) {
	rest := o.rest
	if o.tree != nil {
		b, err := utiljson.Marshal(o.tree)
		if err != nil {
			return dst, err
		}
		rest = b[1 : len(b)-1]
	}
	dst = append(dst, '{')
	for _, f := range []struct{ name, value string }{{"apiVersion", o.APIVersion}, {"kind", o.Kind}} {
		if f.value == "" {
			continue
		}
		v, err := json.Marshal(f.value)
		if err != nil {
			return dst, err
		}
		dst = append(append(append(append(dst, '"'), f.name...), `":`...), v...)
		dst = append(dst, ',')
	}
	meta, err := json.Marshal(&o.ObjectMeta)
	if err != nil {
		return dst, err
	}
	dst = append(append(dst, `"metadata":`...), meta...)
	if len(rest) > 0 {
		dst = append(append(dst, ','), rest...)
	}
	return append(dst, '}'), nil
}

// DeepCopyObject implements runtime.Object. Bytes are never changed, and so
// shared.
func (o *Object) DeepCopyObject() runtime.Object {
	out := &Object{TypeMeta: o.TypeMeta, version: o.version, rest: o.rest}
	o.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	if o.tree != nil {
		out.tree = runtime.DeepCopyJSON(o.tree)
	}
	return out
}

// NewEmpty makes an empty object of the same version.
func (o *Object) NewEmpty() runtime.Object { return o.version.New() }

// UnmarshalJSON implements json.Unmarshaler, for objects that have a version.
func (o *Object) UnmarshalJSON(b []byte) error {
	if o.version == nil {
		return errors.New("custom: an object must be made by its version")
	}
	_, err := o.DecodeJSON(b, false)
	return err
}
