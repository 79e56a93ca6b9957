package codec

import (
	"bytes"
	"encoding/json"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Append appends obj, which is of kind gvk, in the format, and as upstream
// ends it: JSON with a newline. The kind of obj itself must be set for JSON
// and YAML.
func Append(dst []byte, f Format, obj runtime.Object, gvk schema.GroupVersionKind, pretty bool) ([]byte, error) {
	switch f {
	case Protobuf:
		return AppendMessage(dst, obj, gvk)
	case YAML:
		js, err := json.Marshal(obj)
		if err != nil {
			return dst, err
		}
		out, err := yaml.JSONToYAML(js)
		return append(dst, out...), err
	}
	return AppendJSON(dst, obj, pretty)
}

// AppendJSON appends v as JSON with a newline.
func AppendJSON(dst []byte, v any, pretty bool) ([]byte, error) {
	w := writer{dst}
	e := json.NewEncoder(&w)
	if pretty {
		e.SetIndent("", "  ")
	}
	err := e.Encode(v)
	return w.b, err
}

type writer struct{ b []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Indent rewrites compact JSON for people.
func Indent(js []byte) ([]byte, error) {
	var b bytes.Buffer
	err := json.Indent(&b, js, "", "  ")
	return b.Bytes(), err
}

// buffers are kept for reuse up to a size that a list of a few thousand
// objects needs (16 MiB); a rare larger one is left to the collector.
const keep = 16 << 20

var pool = sync.Pool{New: func() any { return new([]byte) }}

// Buffer takes an empty buffer from the pool. Give it back with Release when
// nothing refers to its bytes any more.
func Buffer() *[]byte {
	b := pool.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// Release gives a buffer back.
func Release(b *[]byte) {
	if cap(*b) <= keep {
		pool.Put(b)
	}
}
