package intern

import (
	"reflect"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
)

// walker makes the parts of a value canonical, whose own memory it may change.
// It is called under the lock of the pool. A nil walker has nothing to do.
type walker func(unsafe.Pointer)

// sliceHeader is a slice as memory.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// walker returns the walker of a type, made once.
func (p *Pool) walker(t reflect.Type) walker {
	if w, ok := p.types.Load(t); ok {
		return w.(walker)
	}
	w := p.compile(t, map[reflect.Type]*walker{})
	p.types.Store(t, w)
	return w
}

// compile makes the walker of a type. Types under way are in open, so that a
// type may contain itself.
func (p *Pool) compile(t reflect.Type, open map[reflect.Type]*walker) walker {
	switch t.Kind() {
	case reflect.String:
		return func(m unsafe.Pointer) {
			s := (*string)(m)
			*s = p.string(*s)
		}
	case reflect.Struct:
		return p.compileStruct(t, open)
	case reflect.Slice:
		return p.compileSlice(t, open)
	case reflect.Pointer:
		return p.compilePointer(t, open)
	case reflect.Map:
		return p.compileMap(t)
	}
	return nil
}

func (p *Pool) compileStruct(t reflect.Type, open map[reflect.Type]*walker) walker {
	if t == rawType {
		return func(m unsafe.Pointer) {
			raw := (*[]byte)(m)
			*raw = p.raw(*raw)
		}
	}
	if !ours(t) {
		return nil // time.Time and the like
	}
	if w, ok := open[t]; ok {
		return func(m unsafe.Pointer) {
			if *w != nil {
				(*w)(m)
			}
		}
	}
	var self walker
	open[t] = &self
	type field struct {
		offset uintptr
		walk   walker
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		if w := p.compile(f.Type, open); w != nil {
			fields = append(fields, field{f.Offset, w})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	self = func(m unsafe.Pointer) {
		for _, f := range fields {
			f.walk(unsafe.Add(m, f.offset))
		}
	}
	return self
}

// compileSlice shares whole arrays. Bytes are left alone: they are the data of
// secrets and the like.
func (p *Pool) compileSlice(t reflect.Type, open map[reflect.Type]*walker) walker {
	elem := t.Elem()
	if elem.Kind() == reflect.Uint8 || elem.Kind() == reflect.Interface || elem.Kind() == reflect.Struct && !ours(elem) {
		return nil
	}
	walk := p.compile(elem, open)
	size := int(elem.Size())
	return func(m unsafe.Pointer) {
		s := (*sliceHeader)(m)
		if s.len == 0 {
			return
		}
		if c, _ := p.find(t, s.data, s.len*size); c != nil {
			s.data, s.cap = c, s.len
			return
		}
		array := reflect.MakeSlice(t, s.len, s.len)
		reflect.Copy(array, reflect.NewAt(t, m).Elem())
		data := array.UnsafePointer()
		if walk != nil {
			for i := range s.len {
				walk(unsafe.Add(data, i*size))
			}
		}
		s.data, s.cap = p.memory(t, data, s.len*size), s.len
	}
}

func (p *Pool) compilePointer(t reflect.Type, open map[reflect.Type]*walker) walker {
	elem := t.Elem()
	switch elem.Kind() {
	case reflect.Struct:
		if !ours(elem) {
			return nil
		}
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
	default:
		return nil
	}
	walk := p.compile(elem, open)
	size := int(elem.Size())
	if size == 0 {
		return nil
	}
	return func(m unsafe.Pointer) {
		at := (*unsafe.Pointer)(m)
		if *at == nil {
			return
		}
		if c, _ := p.find(t, *at, size); c != nil {
			*at = c
			return
		}
		v := reflect.New(elem)
		v.Elem().Set(reflect.NewAt(elem, *at).Elem())
		data := v.UnsafePointer()
		if walk != nil {
			walk(data)
		}
		*at = p.memory(t, data, size)
	}
}

// compileMap shares maps of text and of quantities, which are those that
// repeat.
func (p *Pool) compileMap(t reflect.Type) walker {
	switch {
	case t == reflect.TypeFor[corev1.ResourceList]():
		return func(m unsafe.Pointer) {
			if r := (*corev1.ResourceList)(m); len(*r) > 0 {
				*r = p.resources(*r)
			}
		}
	case t == reflect.TypeFor[map[string]string]():
		return func(m unsafe.Pointer) {
			if r := (*map[string]string)(m); len(*r) > 0 {
				*r = p.text(t, *r)
			}
		}
	}
	return nil
}
