package codec

import (
	"reflect"
	"sync"
	"unsafe"
)

// The stored form knows no difference between an empty list or map and none, so
// an object that is kept as it was sent would read differently after a restart.
// canonical makes it read as the stored bytes will.

// canonical says whether a value has empty lists and maps, and with repair takes
// them away. Without, the value is only read.
type canonical func(m unsafe.Pointer, repair bool) bool

// canonicals are the compiled functions by type. Types without lists and maps
// have nil.
var canonicals sync.Map // reflect.Type → canonical

// isCanonical tells whether what the pointer v points to reads as the stored
// bytes will.
func isCanonical(v reflect.Value) bool { return !walk(v, false) }

// makeCanonical makes it so. Nothing of it may be shared with other objects.
func makeCanonical(v reflect.Value) { walk(v, true) }

func walk(v reflect.Value, repair bool) bool {
	t := v.Type().Elem()
	f, ok := canonicals.Load(t)
	if !ok {
		f, _ = canonicals.LoadOrStore(t, compileCanonical(t, map[reflect.Type]*canonical{}))
	}
	if c := f.(canonical); c != nil {
		return c(v.UnsafePointer(), repair)
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
		return func(m unsafe.Pointer, repair bool) bool {
			p := *(*unsafe.Pointer)(m)
			return p != nil && elem(p, repair)
		}
	}
	return nil
}

func canonicalStruct(t reflect.Type, open map[reflect.Type]*canonical) canonical {
	if f, ok := open[t]; ok {
		return func(m unsafe.Pointer, repair bool) bool { return *f != nil && (*f)(m, repair) }
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
	self = func(m unsafe.Pointer, repair bool) bool {
		found := false
		for _, f := range fields {
			if f.f(unsafe.Add(m, f.offset), repair) {
				found = true
			}
		}
		return found
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
	return func(m unsafe.Pointer, repair bool) bool {
		s := (*struct {
			data     unsafe.Pointer
			len, cap int
		})(m)
		if s.len == 0 {
			if s.data == nil {
				return false
			}
			if repair {
				s.data, s.cap = nil, 0
			}
			return true
		}
		if elem == nil {
			return false
		}
		found := false
		for i := range s.len {
			if elem(unsafe.Add(s.data, uintptr(i)*size), repair) {
				found = true
			}
		}
		return found
	}
}

// canonicalMap also makes missing lists among the values empty ones, since a
// stored entry has a value.
func canonicalMap(t reflect.Type) canonical {
	lists := t.Elem().Kind() == reflect.Slice
	return func(m unsafe.Pointer, repair bool) bool {
		if *(*unsafe.Pointer)(m) == nil {
			return false
		}
		v := reflect.NewAt(t, m).Elem()
		if v.Len() == 0 {
			if repair {
				v.SetZero()
			}
			return true
		}
		return lists && fillLists(v, repair)
	}
}

// fillLists finds keys of a map that have no list, and gives them an empty one.
func fillLists(v reflect.Value, repair bool) (found bool) {
	for it := v.MapRange(); it.Next(); {
		if it.Value().IsNil() {
			found = true
			if repair {
				v.SetMapIndex(it.Key(), reflect.MakeSlice(v.Type().Elem(), 0, 0))
			}
		}
	}
	return found
}
