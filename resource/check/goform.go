package check

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// GoForm is a value that an error shows with the names of its Go fields, as
// {"Type":"x","RollingUpdate":null}. Upstream validates internal types, which
// have no names for JSON, so that is how its messages show them. Types of
// k8s.io/apimachinery, which upstream uses as they are, keep their JSON form.
type GoForm struct{ Value any }

// MarshalJSON implements json.Marshaler.
func (f GoForm) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := writeGoForm(&b, reflect.ValueOf(f.Value))
	return b.Bytes(), err
}

func writeGoForm(b *bytes.Buffer, v reflect.Value) error {
	for v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		b.WriteString("null")
		return nil
	case v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().PkgPath(), "k8s.io/api/"):
		b.WriteByte('{')
		first := true
		if err := writeGoFields(b, v, &first); err != nil {
			return err
		}
		b.WriteByte('}')
		return nil
	case v.Kind() == reflect.Slice && !v.IsNil() && v.Type().Elem().Kind() == reflect.Struct:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeGoForm(b, v.Index(i)); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	text, err := json.Marshal(v.Interface())
	b.Write(text)
	return err
}

// writeGoFields writes the fields of a struct, and those of an embedded one
// among them.
func writeGoFields(b *bytes.Buffer, v reflect.Value, first *bool) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			if err := writeGoFields(b, v.Field(i), first); err != nil {
				return err
			}
			continue
		}
		if !*first {
			b.WriteByte(',')
		}
		*first = false
		name, err := json.Marshal(f.Name)
		if err != nil {
			return err
		}
		b.Write(name)
		b.WriteByte(':')
		if err := writeGoForm(b, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}
