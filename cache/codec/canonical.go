package codec

import (
	"reflect"
	"sync"
	"unsafe"
)

// The stored form knows no difference between an empty list or map and none, so
// an object that is kept as it was sent would read differently after a restart.
// canonical makes it read as the stored bytes will.

// canonical takes away the empty lists and maps of a value, and says whether
// there were any. Values that have been through it before are only read, so
// what is shared with other objects is not written to.
type canonical func(unsafe.Pointer) bool

// canonicals are the compiled functions by type. Types without lists and maps
// have nil.
var canonicals sync.Map // reflect.Type → canonical

// makeCanonical works on what the pointer v points to.
func makeCanonical(v reflect.Value) bool {
	t := v.Type().Elem()
	f, ok := canonicals.Load(t)
	if !ok {
		f, _ = canonicals.LoadOrStore(t, compileCanonical(t, map[reflect.Type]*canonical{}))
	}
	if c := f.(canonical); c != nil {
		return c(v.UnsafePointer())
	}
	return false
}

// compileCanonical makes the function of a type. Types under way are in open,
// so that a type may contain itself.
func compileCanonical(t reflect.Type, open map[reflect.Type]*canonical) canonical {
	switch t.Kind() {
	case reflect.Struct:
		return canonicalStruct(t, open)
	case reflect.Slice:
		return canonicalSlice(t, open)
	case reflect.Map:
		return canonicalMap(t)
	case reflect.Pointer:
		elem := compileCanonical(t.Elem(), open)
		if elem == nil {
			return nil
		}
		return func(m unsafe.Pointer) bool {
			p := *(*unsafe.Pointer)(m)
			return p != nil && elem(p)
		}
	}
	return nil
}

func canonicalStruct(t reflect.Type, open map[reflect.Type]*canonical) canonical {
	if f, ok := open[t]; ok {
		return func(m unsafe.Pointer) bool { return *f != nil && (*f)(m) }
	}
	type field struct {
		offset uintptr
		f      canonical
	}
	var fields []field
	var self canonical
	open[t] = &self
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			return nil // a quantity, a time: they look after themselves
		}
		if c := compileCanonical(f.Type, open); c != nil {
			fields = append(fields, field{f.Offset, c})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	self = func(m unsafe.Pointer) bool {
		changed := false
		for _, f := range fields {
			if f.f(unsafe.Add(m, f.offset)) {
				changed = true
			}
		}
		return changed
	}
	return self
}

// canonicalSlice leaves bytes alone: of these the stored form does know
// whether they are there.
func canonicalSlice(t reflect.Type, open map[reflect.Type]*canonical) canonical {
	if t.Elem().Kind() == reflect.Uint8 {
		return nil
	}
	elem := compileCanonical(t.Elem(), open)
	size := t.Elem().Size()
	return func(m unsafe.Pointer) bool {
		s := (*struct {
			data     unsafe.Pointer
			len, cap int
		})(m)
		if s.len == 0 {
			if s.data == nil {
				return false
			}
			s.data, s.cap = nil, 0
			return true
		}
		if elem == nil {
			return false
		}
		changed := false
		for i := range s.len {
			if elem(unsafe.Add(s.data, uintptr(i)*size)) {
				changed = true
			}
		}
		return changed
	}
}

// canonicalMap also makes missing lists among the values empty ones, since a
// stored entry has a value.
func canonicalMap(t reflect.Type) canonical {
	lists := t.Elem().Kind() == reflect.Slice
	return func(m unsafe.Pointer) bool {
		if *(*unsafe.Pointer)(m) == nil {
			return false
		}
		v := reflect.NewAt(t, m).Elem()
		if v.Len() == 0 {
			v.SetZero()
			return true
		}
		return lists && fillLists(v)
	}
}

// fillLists gives keys of a map that have no list an empty one.
func fillLists(v reflect.Value) (changed bool) {
	for it := v.MapRange(); it.Next(); {
		if it.Value().IsNil() {
			v.SetMapIndex(it.Key(), reflect.MakeSlice(v.Type().Elem(), 0, 0))
			changed = true
		}
	}
	return changed
}
