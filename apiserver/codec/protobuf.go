package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Prefix begins every protobuf body and every protobuf value in etcd.
var Prefix = []byte("k8s\x00")

// Message is a generated protobuf type of k8s.io/api.
type Message interface {
	Size() int
	MarshalToSizedBuffer(data []byte) (int, error)
}

type unmarshaler interface{ Unmarshal(data []byte) error }

// ErrNoProtobuf: the type has no protobuf form.
var ErrNoProtobuf = errors.New("object does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message")

// Envelope is a parsed protobuf body. Raw aliases the body.
type Envelope struct {
	APIVersion, Kind string
	Raw              []byte
	ContentType      string
	ContentEncoding  string
}

// GroupVersionKind that the envelope names.
func (e *Envelope) GroupVersionKind() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(e.APIVersion, e.Kind)
}

// Open parses the envelope of a protobuf body.
func Open(body []byte) (Envelope, error) {
	var e Envelope
	if len(body) == 0 {
		return e, errors.New("empty data")
	}
	data, ok := bytes.CutPrefix(body, Prefix)
	if !ok {
		return e, fmt.Errorf("provided data does not appear to be a protobuf message, expected prefix %v", Prefix)
	}
	err := eachField(data, func(num int, v []byte) error {
		switch num {
		case 1:
			return eachField(v, func(num int, v []byte) error {
				switch num {
				case 1:
					e.APIVersion = string(v)
				case 2:
					e.Kind = string(v)
				}
				return nil
			})
		case 2:
			e.Raw = v
		case 3:
			e.ContentEncoding = string(v)
		case 4:
			e.ContentType = string(v)
		}
		return nil
	})
	return e, err
}

// eachField walks the fields of a message, of which only length-delimited ones
// are handed on.
func eachField(data []byte, f func(num int, v []byte) error) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return errTruncated
		}
		data = data[n:]
		switch tag & 7 {
		case 0:
			_, n := binary.Uvarint(data)
			if n <= 0 {
				return errTruncated
			}
			data = data[n:]
		case 1, 5:
			size := 8
			if tag&7 == 5 {
				size = 4
			}
			if len(data) < size {
				return errTruncated
			}
			data = data[size:]
		case 2:
			l, n := binary.Uvarint(data)
			if n <= 0 || l > uint64(len(data)-n) {
				return errTruncated
			}
			if err := f(int(tag>>3), data[n:n+int(l)]); err != nil {
				return err
			}
			data = data[n+int(l):]
		default:
			return fmt.Errorf("proto: illegal wireType %d", tag&7)
		}
	}
	return nil
}

var errTruncated = errors.New("unexpected EOF")

func decodeProtobuf(body []byte, into runtime.Object) error {
	e, err := Open(body)
	if err != nil {
		return &noKindError{err}
	}
	into.GetObjectKind().SetGroupVersionKind(e.GroupVersionKind())
	if e.ContentEncoding != "" || (e.ContentType != "" && e.ContentType != Protobuf.MediaType()) {
		return fmt.Errorf("unable to decode a body of content type %q in a protobuf envelope", e.ContentType)
	}
	m, ok := into.(unmarshaler)
	if !ok {
		return ErrNoProtobuf
	}
	if err := m.Unmarshal(e.Raw); err != nil {
		return err
	}
	// Unmarshal leaves the type alone, but some messages reset themselves.
	into.GetObjectKind().SetGroupVersionKind(e.GroupVersionKind())
	return nil
}

// AppendRaw appends the bare message of obj.
func AppendRaw(dst []byte, m Message) ([]byte, error) {
	size := m.Size()
	dst = grow(dst, size)
	n, err := m.MarshalToSizedBuffer(dst[len(dst) : len(dst)+size])
	if err != nil {
		return dst, err
	}
	return dst[:len(dst)+n], nil
}

// AppendMessage appends an object with its envelope.
func AppendMessage(dst []byte, obj runtime.Object, gvk schema.GroupVersionKind) ([]byte, error) {
	m, ok := obj.(Message)
	if !ok {
		return dst, ErrNoProtobuf
	}
	size := m.Size()
	dst = grow(dst, size+len(gvk.Group)+len(gvk.Version)+len(gvk.Kind)+48)
	dst = AppendHeader(dst, gvk, size)
	n, err := m.MarshalToSizedBuffer(dst[len(dst) : len(dst)+size])
	if err != nil {
		return dst, err
	}
	return append(dst[:len(dst)+n], trailer...), nil
}

// trailer holds the empty content encoding and content type that upstream
// writes after the raw bytes.
var trailer = []byte{0x1a, 0, 0x22, 0}

// AppendHeader appends what comes before rawSize bytes of a bare message;
// AppendTrailer ends the envelope after them.
func AppendHeader(dst []byte, gvk schema.GroupVersionKind, rawSize int) []byte {
	dst = append(dst, Prefix...)
	apiVersion := gvk.GroupVersion().String()
	meta := 2 + uvarintLen(len(apiVersion)) + len(apiVersion) + uvarintLen(len(gvk.Kind)) + len(gvk.Kind)
	dst = binary.AppendUvarint(append(dst, 0x0a), uint64(meta))
	dst = binary.AppendUvarint(append(dst, 0x0a), uint64(len(apiVersion)))
	dst = append(dst, apiVersion...)
	dst = binary.AppendUvarint(append(dst, 0x12), uint64(len(gvk.Kind)))
	dst = append(dst, gvk.Kind...)
	return binary.AppendUvarint(append(dst, 0x12), uint64(rawSize))
}

// AppendTrailer ends an envelope.
func AppendTrailer(dst []byte) []byte { return append(dst, trailer...) }

func uvarintLen(n int) int {
	l := 1
	for n >= 0x80 {
		n >>= 7
		l++
	}
	return l
}

func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		bigger := make([]byte, len(dst), len(dst)+n)
		copy(bigger, dst)
		return bigger
	}
	return dst
}
