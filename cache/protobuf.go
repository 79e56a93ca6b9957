package cache

import (
	"bytes"
	"encoding/binary"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"

	"proa/resource"
)

// protobufMagic begins every stored value and every response in protobuf.
const protobufMagic = "k8s\x00"

var errNoProtobuf = errors.New("object is not stored as protobuf in its storage version")

// Protobuf field tags used below: a length-delimited field of ObjectMeta, and
// the places of metadata in an object and resourceVersion in metadata.
const (
	tagMetadata        = 1<<3 | 2
	tagResourceVersion = 6<<3 | 2
)

// Protobuf appends to dst the object as a message of its storage version, with
// its resource version but without an envelope: what a list of it contains.
// It copies the stored bytes, and does not encode anything. It fails where the
// object is not stored as protobuf, or not as upstream's encoder lays it out.
func (e *Entry) Protobuf(dst []byte) ([]byte, error) {
	if e.Err != nil {
		return dst, e.Err
	}
	raw, err := e.rawProtobuf()
	if err != nil {
		return dst, err
	}
	return spliceRevision(dst, raw, e.Object.GetResourceVersion())
}

// rawProtobuf returns the message inside the stored envelope.
func (e *Entry) rawProtobuf() ([]byte, error) {
	if e.cache == nil || len(e.cache.envelope) == 0 {
		return nil, errNoProtobuf
	}
	b, ok := bytes.CutPrefix(e.stored, e.cache.envelope)
	if !ok {
		return nil, errNoProtobuf
	}
	raw, _, ok := field(b, 2<<3|2)
	if !ok {
		return nil, errNoProtobuf
	}
	return raw, nil
}

// envelope returns what begins every stored object of def in protobuf: the
// magic, and the type in a runtime.Unknown.
func envelope(def *resource.Definition) []byte {
	u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: def.Storage.String(), Kind: def.Kind}}
	b, err := u.TypeMeta.Marshal()
	if err != nil {
		return nil // never; and then nothing is taken for protobuf
	}
	out := append([]byte(protobufMagic), 1<<3|2)
	out = binary.AppendUvarint(out, uint64(len(b)))
	return append(out, b...)
}

// field takes a length-delimited field with the given tag off the front of b.
func field(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tag {
		return nil, b, false
	}
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n > uint64(len(b)-1-w) {
		return nil, b, false
	}
	b = b[1+w:]
	return b[:n], b[n:], true
}

// spliceRevision appends raw to dst with metadata.resourceVersion set to rev.
func spliceRevision(dst, raw []byte, rev string) ([]byte, error) {
	meta, rest, ok := field(raw, tagMetadata)
	if !ok {
		return dst, errNoProtobuf
	}
	// Walk over the fields of the metadata that come before the revision.
	at := 0
	for at < len(meta) && meta[at] < tagResourceVersion {
		_, after, ok := field(meta[at:], meta[at])
		if !ok || meta[at]&7 != 2 {
			return dst, errNoProtobuf
		}
		at = len(meta) - len(after)
	}
	tail := meta[at:]
	if old, after, ok := field(tail, tagResourceVersion); ok {
		if len(old) != 0 {
			return dst, errNoProtobuf
		}
		tail = after
	}
	n := at + 1 + uvarintLen(len(rev)) + len(rev) + len(tail)
	dst = append(dst, tagMetadata)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = append(dst, meta[:at]...)
	dst = append(dst, tagResourceVersion)
	dst = binary.AppendUvarint(dst, uint64(len(rev)))
	dst = append(dst, rev...)
	dst = append(dst, tail...)
	return append(dst, rest...), nil
}

func uvarintLen(n int) int {
	l := 1
	for n >= 0x80 {
		n >>= 7
		l++
	}
	return l
}
