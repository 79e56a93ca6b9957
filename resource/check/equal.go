package check

import (
	"bytes"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
)

// message is what the generated structs of k8s.io/api can do.
type message interface {
	Size() int
	MarshalToSizedBuffer(data []byte) (int, error)
}

// scratch are buffers that hold two encodings of most specs.
var scratch = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}

// Equal compares as the API does: nil and empty lists are the same, and so are
// quantities of one value.
//
// What an update leaves alone, which is nearly everything, is compared by its
// encoding, at a tenth of what walking over it by reflection costs. Encodings
// are canonical, so that equal ones are of equal values; a difference is looked
// at again. Give it pointers, which need no copy.
func Equal(a, b any) bool {
	if parts, ok := a.([]any); ok {
		others, ok := b.([]any)
		return ok && slices.EqualFunc(parts, others, Equal)
	}
	x, ok := a.(message)
	y, also := b.(message)
	if ok && also && !nilPointer(a) && !nilPointer(b) && reflect.TypeOf(a) == reflect.TypeOf(b) && sameBytes(x, y) {
		return true
	}
	return equality.Semantic.DeepEqual(a, b)
}

func nilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

func sameBytes(x, y message) bool {
	size := x.Size()
	if size != y.Size() {
		return false
	}
	p := scratch.Get().(*[]byte)
	defer scratch.Put(p)
	if 2*size > len(*p) {
		*p = make([]byte, 2*size)
	}
	buf := *p
	n, err := x.MarshalToSizedBuffer(buf[:size])
	m, err2 := y.MarshalToSizedBuffer(buf[size : 2*size])
	return err == nil && err2 == nil && n == m && bytes.Equal(buf[size-n:size], buf[2*size-m:2*size])
}
