package apiregistration

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The wire form of the types in protobuf, as upstream numbers their fields. It is
// written by hand, since there is one small object of each, seldom sent.

// part is a message inside of another.
type part interface {
	Marshal() ([]byte, error)
	Unmarshal(data []byte) error
}

// writer appends fields to a message.
type writer struct {
	b   []byte
	err error
}

func (w *writer) bytes(n protowire.Number, v []byte) {
	w.b = protowire.AppendBytes(protowire.AppendTag(w.b, n, protowire.BytesType), v)
}

func (w *writer) text(n protowire.Number, v string) { w.bytes(n, []byte(v)) }

func (w *writer) int(n protowire.Number, v int32) {
	w.b = protowire.AppendVarint(protowire.AppendTag(w.b, n, protowire.VarintType), uint64(int64(v)))
}

func (w *writer) bool(n protowire.Number, v bool) {
	w.b = protowire.AppendVarint(protowire.AppendTag(w.b, n, protowire.VarintType), protowire.EncodeBool(v))
}

func (w *writer) part(n protowire.Number, p part) {
	b, err := p.Marshal()
	w.err = errors.Join(w.err, err)
	w.bytes(n, b)
}

// wireField is one field of a message that is read: a number, or bytes that alias the
// message.
type wireField struct {
	num   protowire.Number
	value uint64
	bytes []byte
}

// eachField hands on the fields of a message. What it does not know is left out, as
// what a later version adds.
func eachField(data []byte, f func(wireField) error) error {
	for len(data) > 0 {
		num, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		at := wireField{num: num}
		switch kind {
		case protowire.VarintType:
			at.value, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			at.bytes, n = protowire.ConsumeBytes(data)
		default:
			if n = protowire.ConsumeFieldValue(num, kind, data); n >= 0 {
				data = data[n:]
				continue
			}
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := f(at); err != nil {
			return fmt.Errorf("field %d: %w", num, err)
		}
	}
	return nil
}

// sized writes a message to the end of a buffer that is large enough.
func sized(p part, data []byte) (int, error) {
	b, err := p.Marshal()
	if err != nil {
		return 0, err
	}
	if len(b) > len(data) {
		return 0, fmt.Errorf("a message of %d bytes does not fit into %d", len(b), len(data))
	}
	return copy(data[len(data)-len(b):], b), nil
}

func size(p part) int {
	b, _ := p.Marshal() // fails only where the encoding does, which returns it
	return len(b)
}

// Marshal encodes the object.
func (s *APIService) Marshal() ([]byte, error) {
	var w writer
	w.part(1, &s.ObjectMeta)
	w.part(2, &s.Spec)
	w.part(3, &s.Status)
	return w.b, w.err
}

// Unmarshal reads fields into the object.
func (s *APIService) Unmarshal(data []byte) error {
	return eachField(data, func(f wireField) error {
		switch f.num {
		case 1:
			return s.ObjectMeta.Unmarshal(f.bytes)
		case 2:
			return s.Spec.Unmarshal(f.bytes)
		case 3:
			return s.Status.Unmarshal(f.bytes)
		}
		return nil
	})
}

// Reset empties the object.
func (s *APIService) Reset() { *s = APIService{} }

// Size is the length of the encoding in bytes.
func (s *APIService) Size() int { return size(s) }

// MarshalTo writes the encoding to the beginning of data.
func (s *APIService) MarshalTo(data []byte) (int, error) {
	return s.MarshalToSizedBuffer(data[:s.Size()])
}

// MarshalToSizedBuffer writes the encoding to the end of data.
func (s *APIService) MarshalToSizedBuffer(data []byte) (int, error) { return sized(s, data) }

// Marshal encodes the list.
func (l *APIServiceList) Marshal() ([]byte, error) {
	var w writer
	w.part(1, &l.ListMeta)
	for i := range l.Items {
		w.part(2, &l.Items[i])
	}
	return w.b, w.err
}

// Unmarshal reads fields into the list.
func (l *APIServiceList) Unmarshal(data []byte) error {
	return eachField(data, func(f wireField) error {
		switch f.num {
		case 1:
			return l.ListMeta.Unmarshal(f.bytes)
		case 2:
			l.Items = append(l.Items, APIService{})
			return l.Items[len(l.Items)-1].Unmarshal(f.bytes)
		}
		return nil
	})
}

// Reset empties the list.
func (l *APIServiceList) Reset() { *l = APIServiceList{} }

// Size is the length of the encoding in bytes.
func (l *APIServiceList) Size() int { return size(l) }

// MarshalTo writes the encoding to the beginning of data.
func (l *APIServiceList) MarshalTo(data []byte) (int, error) {
	return l.MarshalToSizedBuffer(data[:l.Size()])
}

// MarshalToSizedBuffer writes the encoding to the end of data.
func (l *APIServiceList) MarshalToSizedBuffer(data []byte) (int, error) { return sized(l, data) }

// Marshal encodes the specification. Field 6 is not used any more.
func (s *APIServiceSpec) Marshal() ([]byte, error) {
	var w writer
	if s.Service != nil {
		w.part(1, s.Service)
	}
	w.text(2, s.Group)
	w.text(3, s.Version)
	w.bool(4, s.InsecureSkipTLSVerify)
	if s.CABundle != nil {
		w.bytes(5, s.CABundle)
	}
	w.int(7, s.GroupPriorityMinimum)
	w.int(8, s.VersionPriority)
	return w.b, w.err
}

// Unmarshal reads fields into the specification.
func (s *APIServiceSpec) Unmarshal(data []byte) error {
	return eachField(data, func(f wireField) error {
		switch f.num {
		case 1:
			if s.Service == nil {
				s.Service = &ServiceReference{}
			}
			return s.Service.Unmarshal(f.bytes)
		case 2:
			s.Group = string(f.bytes)
		case 3:
			s.Version = string(f.bytes)
		case 4:
			s.InsecureSkipTLSVerify = protowire.DecodeBool(f.value)
		case 5:
			s.CABundle = append([]byte{}, f.bytes...)
		case 7:
			s.GroupPriorityMinimum = int32(f.value)
		case 8:
			s.VersionPriority = int32(f.value)
		}
		return nil
	})
}

// Marshal encodes the reference.
func (r *ServiceReference) Marshal() ([]byte, error) {
	var w writer
	w.text(1, r.Namespace)
	w.text(2, r.Name)
	if r.Port != nil {
		w.int(3, *r.Port)
	}
	return w.b, w.err
}

// Unmarshal reads fields into the reference.
func (r *ServiceReference) Unmarshal(data []byte) error {
	return eachField(data, func(f wireField) error {
		switch f.num {
		case 1:
			r.Namespace = string(f.bytes)
		case 2:
			r.Name = string(f.bytes)
		case 3:
			port := int32(f.value)
			r.Port = &port
		}
		return nil
	})
}

// Marshal encodes the status.
func (s *APIServiceStatus) Marshal() ([]byte, error) {
	var w writer
	for i := range s.Conditions {
		w.part(1, &s.Conditions[i])
	}
	return w.b, w.err
}

// Unmarshal reads fields into the status.
func (s *APIServiceStatus) Unmarshal(data []byte) error {
	return eachField(data, func(f wireField) error {
		if f.num != 1 {
			return nil
		}
		s.Conditions = append(s.Conditions, APIServiceCondition{})
		return s.Conditions[len(s.Conditions)-1].Unmarshal(f.bytes)
	})
}

// Marshal encodes the condition.
func (c *APIServiceCondition) Marshal() ([]byte, error) {
	var w writer
	w.text(1, c.Type)
	w.text(2, string(c.Status))
	w.part(3, &c.LastTransitionTime)
	w.text(4, c.Reason)
	w.text(5, c.Message)
	return w.b, w.err
}

// Unmarshal reads fields into the condition.
func (c *APIServiceCondition) Unmarshal(data []byte) error {
	return eachField(data, func(f wireField) error {
		switch f.num {
		case 1:
			c.Type = string(f.bytes)
		case 2:
			c.Status = metav1.ConditionStatus(f.bytes)
		case 3:
			return c.LastTransitionTime.Unmarshal(f.bytes)
		case 4:
			c.Reason = string(f.bytes)
		case 5:
			c.Message = string(f.bytes)
		}
		return nil
	})
}
