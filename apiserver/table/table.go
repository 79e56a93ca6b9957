package table

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/apiserver/codec"
	"proa/cache"
	"proa/resource"
)

// plainColumns are those of kinds that have none of their own.
var plainColumns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]},
}

// Writer writes one table in one version ("v1" or "v1beta1") of meta.k8s.io.
type Writer struct {
	Definition *resource.Definition
	Served     *resource.Served
	Version    string
	// Include says what goes with each row: Metadata (also when empty), Object
	// or None.
	Include metav1.IncludeObjectPolicy
	// NoHeaders leaves the column definitions out.
	NoHeaders bool
	Now       time.Time
}

// Append appends a table of entries with the metadata of a list.
func (t *Writer) Append(dst []byte, list metav1.ListMeta, entries []*cache.Entry) ([]byte, error) {
	dst = append(dst, `{"kind":"Table","apiVersion":"meta.k8s.io/`...)
	dst = append(dst, t.Version...)
	dst = append(dst, `","metadata":`...)
	dst, err := appendJSON(dst, list)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `,"columnDefinitions":`...)
	if t.NoHeaders {
		dst = append(dst, "null"...)
	} else {
		columns := t.Served.Columns()
		if len(columns) == 0 {
			columns = plainColumns
		}
		if dst, err = appendJSON(dst, columns); err != nil {
			return dst, err
		}
	}
	dst = append(dst, `,"rows":[`...)
	if order := t.Definition.Order; order != nil {
		entries = slices.SortedStableFunc(slices.Values(entries), func(a, b *cache.Entry) int { return order(a.Object, b.Object) })
	}
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = t.row(dst, e); err != nil {
			return dst, err
		}
	}
	return append(dst, "]}"...), nil
}

func (t *Writer) row(dst []byte, e *cache.Entry) ([]byte, error) {
	var cells []any
	obj := e.Object
	var err error
	if t.Definition.Dynamic != nil {
		if obj, err = Converted(obj, t.Served); err != nil {
			return dst, err
		}
	}
	if len(t.Served.Columns()) > 0 {
		cells = t.Served.Cells(obj, t.Now)
	} else {
		cells = []any{e.Name, e.Object.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	dst = append(dst, `{"cells":[`...)
	for i, c := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendCell(dst, c); err != nil {
			return dst, err
		}
	}
	dst = append(dst, ']')
	if conditions := t.Definition.RowConditions(e.Object); len(conditions) > 0 {
		dst = append(dst, `,"conditions":`...)
		if dst, err = appendJSON(dst, conditions); err != nil {
			return dst, err
		}
	}
	dst = append(dst, `,"object":`...)
	switch t.Include {
	case metav1.IncludeNone:
		dst = append(dst, "null"...)
	case metav1.IncludeObject:
		b, err := JSON(e, t.Served)
		if err != nil {
			return dst, err
		}
		dst = AppendTyped(dst, b, t.Served)
	default:
		b, err := Partial(e, t.Version)
		if err != nil {
			return dst, err
		}
		dst = append(dst, b...)
	}
	return append(dst, '}'), nil
}

// appendCell spares the encoder the values that most cells have.
func appendCell(dst []byte, c any) ([]byte, error) {
	switch v := c.(type) {
	case string:
		if plain(v) {
			dst = append(dst, '"')
			dst = append(dst, v...)
			return append(dst, '"'), nil
		}
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case int32:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	}
	return appendJSON(dst, c)
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

// JSON is an entry as compact JSON in a served version, without its kind, as
// it stands in a list. It is made once.
func JSON(e *cache.Entry, s *resource.Served) ([]byte, error) {
	return e.Encoding(cache.EncodingKey{Version: s.GroupVersion.String(), Format: "json"}, func() ([]byte, error) {
		obj, err := Converted(e.Object, s)
		if err != nil {
			return nil, err
		}
		if d, ok := obj.(interface{ AppendJSON([]byte) ([]byte, error) }); ok {
			return d.AppendJSON(nil)
		}
		return json.Marshal(obj)
	})
}

// AppendTyped appends an object encoded without its kind, with it.
func AppendTyped(dst, js []byte, s *resource.Served) []byte {
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, s.Kind...)
	dst = append(dst, `","apiVersion":"`...)
	if s.GroupVersion.Group != "" {
		dst = append(append(dst, s.GroupVersion.Group...), '/')
	}
	dst = append(dst, s.GroupVersion.Version...)
	dst = append(dst, '"')
	if len(js) > 2 {
		dst = append(dst, ',')
	}
	return append(dst, js[1:]...)
}

// Converted is a stored object in a served version, without its kind. Both may
// be shared.
func Converted(obj resource.Object, s *resource.Served) (resource.Object, error) {
	if s.Storage {
		return obj, nil
	}
	out, err := s.To(obj)
	if err != nil || out == obj {
		return out, err
	}
	out.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return out, nil
}

// Typed is a shallow copy of a shared object with its kind set.
func Typed(obj resource.Object, gvk schema.GroupVersionKind) resource.Object {
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	out := v.Interface().(resource.Object)
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}

// Partial is an entry as PartialObjectMetadata in JSON, made once.
func Partial(e *cache.Entry, version string) ([]byte, error) {
	return e.Encoding(cache.EncodingKey{Version: version, Format: "partial"}, func() ([]byte, error) {
		return json.Marshal(PartialOf(e.Object, version))
	})
}

// PartialMessage is an entry as a bare PartialObjectMetadata message.
func PartialMessage(e *cache.Entry, version string) ([]byte, error) {
	return e.Encoding(cache.EncodingKey{Version: version, Format: "partial;protobuf"}, func() ([]byte, error) {
		return codec.AppendRaw(nil, PartialOf(e.Object, version))
	})
}

// PartialOf is the metadata of an object, sharing its memory.
func PartialOf(obj resource.Object, version string) *metav1.PartialObjectMetadata {
	p := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/" + version}}
	if a, ok := obj.(metav1.ObjectMetaAccessor); ok {
		if m, ok := a.GetObjectMeta().(*metav1.ObjectMeta); ok {
			p.ObjectMeta = *m
		}
	}
	return p
}
