// Package codec turns objects into the bytes that upstream's API server stores
// for them, and back.
//
// A kind that has a protobuf form, and of which the table does not say
// otherwise, is stored as "k8s\x00" and a runtime.Unknown
// that wraps the message; any other as JSON. Both are read for every kind, in
// any version that the kind is served in. The resource version is never
// stored: it is the revision of the write.
package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"proa/resource"
)

// Storage is the codec of kinds that are Go structs of k8s.io/api. Its zero
// value is ready for use.
type Storage struct{}

var magic = []byte("k8s\x00")

// message is what the generated structs of k8s.io/api can do.
type message interface {
	runtime.ProtobufMarshaller
	runtime.ProtobufReverseMarshaller
	Unmarshal([]byte) error
}

// Encode implements cache.Codec.
func (Storage) Encode(def *resource.Definition, obj resource.Object) ([]byte, error) {
	if d := def.Dynamic; d != nil {
		return d.Encode(obj)
	}
	obj = clone(obj)
	obj.SetResourceVersion("")
	obj.SetSelfLink("")
	m, ok := obj.(message)
	if !ok || def.StoredAsJSON {
		obj.GetObjectKind().SetGroupVersionKind(def.GroupVersionKind())
		b, err := utiljson.Marshal(obj)
		if err != nil {
			return nil, err
		}
		return append(b, '\n'), nil // as upstream's encoder ends
	}
	u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: def.Storage.String(), Kind: def.Kind}}
	size := m.Size()
	// The size of the message is not yet in u.Size: its length, two tags and
	// their lengths come on top.
	buf := make([]byte, len(magic)+u.Size()+size+16)
	n := copy(buf, magic)
	w, err := u.NestedMarshalTo(buf[n:], m, uint64(size))
	if err != nil {
		return nil, err
	}
	return buf[: n+w : n+w], nil
}

// Decode implements cache.Codec.
func (Storage) Decode(def *resource.Definition, data []byte) (resource.Object, error) {
	if d := def.Dynamic; d != nil {
		return d.Decode(data)
	}
	if !bytes.HasPrefix(data, magic) {
		return decodeJSON(def, data)
	}
	u, err := unwrap(data[len(magic):])
	if err != nil {
		return nil, fmt.Errorf("protobuf envelope: %w", err)
	}
	if u.ContentEncoding != "" {
		return nil, fmt.Errorf("content encoding %q is not known", u.ContentEncoding)
	}
	served, err := version(def, u.APIVersion, u.Kind)
	if err != nil {
		return nil, err
	}
	obj := served.New()
	m, ok := obj.(message)
	if !ok {
		return nil, fmt.Errorf("%s has no protobuf form", u.Kind)
	}
	if err := m.Unmarshal(u.Raw); err != nil {
		return nil, fmt.Errorf("protobuf message: %w", err)
	}
	return finish(served, obj)
}

// unwrap reads a runtime.Unknown, whose message stays a part of data. What is
// not in the usual order is left to the generated reader, which copies it.
func unwrap(data []byte) (runtime.Unknown, error) {
	var u runtime.Unknown
	meta, rest, ok := take(data, 1)
	if ok {
		u.Raw, rest, ok = take(rest, 2)
	}
	if ok && u.TypeMeta.Unmarshal(meta) == nil && (len(rest) == 0 || string(rest) == "\x1a\x00\x22\x00") {
		return u, nil
	}
	u = runtime.Unknown{}
	return u, u.Unmarshal(data)
}

// take takes a length-delimited field off the front of b.
func take(b []byte, number byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != number<<3|2 {
		return nil, b, false
	}
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n > uint64(len(b)-1-w) {
		return nil, b, false
	}
	b = b[1+w:]
	return b[:n], b[n:], true
}

func decodeJSON(def *resource.Definition, data []byte) (resource.Object, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return nil, errors.New("neither protobuf nor JSON")
	}
	var meta runtime.TypeMeta
	if err := utiljson.Unmarshal(data, &meta); err != nil {
		return nil, err
	}
	served, err := version(def, meta.APIVersion, meta.Kind)
	if err != nil {
		return nil, err
	}
	obj := served.New()
	if err := utiljson.Unmarshal(data, obj); err != nil {
		return nil, err
	}
	return finish(served, obj)
}

// version finds the served version in which an object was stored.
func version(def *resource.Definition, apiVersion, kind string) (*resource.Served, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	for _, versions := range [][]resource.Served{def.Served, def.Former} {
		for i := range versions {
			if s := &versions[i]; s.GroupVersion == gv && s.Kind == kind {
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("it is a %s of %s, which is not served as %s", kind, apiVersion, def.GroupResource())
}

// finish makes a decoded object one of the storage version, with its defaults.
func finish(served *resource.Served, obj resource.Object) (resource.Object, error) {
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	served.Default(obj)
	if served.Storage {
		return obj, nil
	}
	stored, err := served.From(obj)
	if err != nil {
		return nil, err
	}
	stored.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return stored, nil
}

// Share implements cache.Codec. The object reads as it will when it is decoded
// from what is stored. What obj refers to is not written to: an update takes much
// of the object that it replaces, which others are reading.
func (Storage) Share(def *resource.Definition, obj resource.Object, stored []byte) resource.Object {
	if d := def.Dynamic; d != nil {
		return d.Keep(obj, stored)
	}
	obj = clone(obj)
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	if _, ok := obj.(message); !ok || def.StoredAsJSON {
		return obj
	}
	if !isCanonical(reflect.ValueOf(obj)) {
		obj = obj.DeepCopyObject().(resource.Object)
		makeCanonical(reflect.ValueOf(obj))
		for i := range def.Served {
			if def.Served[i].Storage {
				def.Served[i].Default(obj)
			}
		}
	}
	return obj
}

// clone copies the struct that obj points to, and nothing below it.
func clone(obj resource.Object) resource.Object {
	v := reflect.ValueOf(obj).Elem()
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	return c.Interface().(resource.Object)
}
