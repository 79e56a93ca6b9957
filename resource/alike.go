package resource

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Message is an object that has a protobuf form.
type Message interface {
	Object
	Marshal() ([]byte, error)
	Unmarshal(data []byte) error
}

// Alike is a version in which the objects of a row have the very same form: their
// protobuf forms agree number by number, and are what they are converted by. That
// it is so must be tested where it is used.
func Alike[T, V Message](gv schema.GroupVersion, row func() T, version func() V, list func() runtime.Object) Version[T] {
	return Version[T]{
		GroupVersion: gv,
		New:          func() Object { return version() },
		NewList:      list,
		To: func(obj T) (Object, error) {
			out := version()
			return out, same(obj, out)
		},
		From: func(obj Object) (T, error) {
			out := row()
			in, ok := obj.(V)
			if !ok {
				return out, fmt.Errorf("a %T is not of %s", obj, gv)
			}
			return out, same(in, out)
		},
	}
}

func same(from, to Message) error {
	b, err := from.Marshal()
	if err != nil {
		return err
	}
	return to.Unmarshal(b)
}
