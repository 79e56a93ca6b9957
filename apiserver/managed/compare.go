package managed

import (
	"reflect"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// difference is what one object has and another has not. A field is in one of
// the sets at most.
type difference struct {
	removed, modified, added *fieldpath.Set
}

func (d *difference) empty() bool {
	return d.removed.Empty() && d.modified.Empty() && d.added.Empty()
}

// comparer finds the difference between two objects of one compiled kind. It
// gives the same result as the typed comparison of structured-merge-diff, but
// works on the Go structs, and makes nothing for what is equal.
type comparer struct {
	difference
	path fieldpath.Path
	// odd: there is something that only the library knows to compare.
	odd bool
}

// compare returns the difference between two objects, and false where the
// library must be asked. Either may be the zero value.
func compare(n *node, old, now reflect.Value) (*difference, bool) {
	c := &comparer{difference: difference{&fieldpath.Set{}, &fieldpath.Set{}, &fieldpath.Set{}}, path: make(fieldpath.Path, 0, 16)}
	c.fields(n, old, now)
	return &c.difference, !c.odd
}

// side is a value that may be absent.
type side struct {
	reflect.Value
	ok bool
}

// deref follows pointers; a nil one is null, and not valid.
func deref(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return reflect.Value{}
		}
		v = v.Elem()
	}
	return v
}

func (c *comparer) fields(n *node, old, now reflect.Value) {
	for i := range n.fields {
		f := &n.fields[i]
		l, r := fieldOf(f.entry, old), fieldOf(f.entry, now)
		if !l.ok && !r.ok {
			continue
		}
		c.path = append(c.path, fieldpath.PathElement{FieldName: f.name})
		c.at(f.node, l, r)
		c.path = c.path[:len(c.path)-1]
	}
}

func fieldOf(e *value.FieldCacheEntry, v reflect.Value) side {
	if !v.IsValid() {
		return side{}
	}
	f := e.GetFrom(v)
	return side{f, !e.CanOmit(f)}
}

// at compares a place that at least one of the objects has.
func (c *comparer) at(n *node, l, r side) {
	lv, rv := deref(orInvalid(l)), deref(orInvalid(r))
	if n.unowned {
		c.fields(n, lv, rv)
		return
	}
	if n.kind == leaf || (hollow(n, lv) && hollow(n, rv)) {
		c.leaf(l, r)
		return
	}
	switch n.kind {
	case structure:
		c.fields(n, lv, rv)
	case mapping:
		c.mapping(n, lv, rv)
	case set:
		c.set(n, lv, rv)
	case keyed:
		c.keyed(n, lv, rv)
	}
	switch {
	case !l.ok:
		c.added.Insert(c.path)
	case !r.ok:
		c.removed.Insert(c.path)
	}
}

func orInvalid(s side) reflect.Value {
	if s.ok {
		return s.Value
	}
	return reflect.Value{}
}

// hollow reports whether a value has nothing inside: absent, null or empty.
func hollow(n *node, v reflect.Value) bool {
	if !v.IsValid() {
		return true
	}
	if n.kind != structure {
		return v.Len() == 0
	}
	for i := range n.fields {
		if fieldOf(n.fields[i].entry, v).ok {
			return false
		}
	}
	return true
}

func (c *comparer) leaf(l, r side) {
	switch {
	case !l.ok:
		c.added.Insert(c.path)
	case !r.ok:
		c.removed.Insert(c.path)
	case !equal(l.Value, r.Value):
		c.modified.Insert(c.path)
	}
}

// equal compares two values as JSON would show them.
func equal(l, r reflect.Value) bool {
	lv, rv := deref(l), deref(r)
	if !lv.IsValid() || !rv.IsValid() {
		return lv.IsValid() == rv.IsValid()
	}
	switch lv.Kind() {
	case reflect.String:
		return lv.String() == rv.String()
	case reflect.Bool:
		return lv.Bool() == rv.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return lv.Int() == rv.Int()
	}
	// What is the same in memory is the same in JSON. The reverse does not
	// hold, so that a difference is looked at again.
	if reflect.DeepEqual(lv.Interface(), rv.Interface()) {
		return true
	}
	return value.Equals(wrap(lv), wrap(rv))
}

func wrap(v reflect.Value) value.Value {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	w, err := value.NewValueReflect(p.Interface())
	if err != nil {
		return value.NewValueInterface(nil)
	}
	return w
}

func (c *comparer) mapping(n *node, l, r reflect.Value) {
	visit := func(key string, lc, rc side) {
		c.path = append(c.path, fieldpath.PathElement{FieldName: &key})
		c.at(n.elem, lc, rc)
		c.path = c.path[:len(c.path)-1]
	}
	if r.IsValid() {
		for it := r.MapRange(); it.Next(); {
			k := it.Key()
			var lc side
			if l.IsValid() {
				if v := l.MapIndex(k); v.IsValid() {
					lc = side{v, true}
				}
			}
			visit(k.String(), lc, side{it.Value(), true})
		}
	}
	if l.IsValid() {
		for it := l.MapRange(); it.Next(); {
			k := it.Key()
			if !r.IsValid() || !r.MapIndex(k).IsValid() {
				visit(k.String(), side{it.Value(), true}, side{})
			}
		}
	}
}

func length(v reflect.Value) int {
	if v.IsValid() {
		return v.Len()
	}
	return 0
}

// set compares lists of strings of which order does not matter. Only their
// duplicates are beyond it.
func (c *comparer) set(n *node, l, r reflect.Value) {
	ll, rl := length(l), length(r)
	has := func(list reflect.Value, from, to int, s string) bool {
		for i := from; i < to; i++ {
			if list.Index(i).String() == s {
				return true
			}
		}
		return false
	}
	visit := func(s string, into *fieldpath.Set) {
		v := value.NewValueInterface(s)
		c.path = append(c.path, fieldpath.PathElement{Value: &v})
		into.Insert(c.path)
		c.path = c.path[:len(c.path)-1]
	}
	for i := range rl {
		s := r.Index(i).String()
		if has(r, i+1, rl, s) {
			c.odd = true
			return
		}
		if !has(l, 0, ll, s) {
			visit(s, c.added)
		}
	}
	for i := range ll {
		s := l.Index(i).String()
		if has(l, i+1, ll, s) {
			c.odd = true
			return
		}
		if !has(r, 0, rl, s) {
			visit(s, c.removed)
		}
	}
}

// maxKeyed is how long a keyed list may be before looking for each key in turn
// costs more than the library's maps do.
const maxKeyed = 256

// keyed compares lists of structures, item by item with the same key.
func (c *comparer) keyed(n *node, l, r reflect.Value) {
	ll, rl := length(l), length(r)
	if ll > maxKeyed || rl > maxKeyed || duplicates(n, l, ll) || duplicates(n, r, rl) {
		c.odd = true
		return
	}
	for i := range rl {
		item := r.Index(i)
		j := i
		if j >= ll || !sameKeys(n, l.Index(j), item) {
			j = find(n, l, ll, item)
		}
		var lc side
		if j >= 0 {
			lc = side{l.Index(j), true}
			if reflect.DeepEqual(lc.Interface(), item.Interface()) {
				continue
			}
		}
		c.item(n, lc, side{item, true}, item)
	}
	for i := range ll {
		item := l.Index(i)
		if (i < rl && sameKeys(n, r.Index(i), item)) || find(n, r, rl, item) >= 0 {
			continue
		}
		c.item(n, side{item, true}, side{}, item)
	}
}

func (c *comparer) item(n *node, l, r side, item reflect.Value) {
	pe, ok := element(n, item)
	if !ok {
		c.odd = true
		return
	}
	c.path = append(c.path, pe)
	c.at(n.elem, l, r)
	c.path = c.path[:len(c.path)-1]
}

func duplicates(n *node, list reflect.Value, length int) bool {
	for i := range length {
		for j := i + 1; j < length; j++ {
			if sameKeys(n, list.Index(i), list.Index(j)) {
				return true
			}
		}
	}
	return false
}

func find(n *node, list reflect.Value, length int, item reflect.Value) int {
	for i := range length {
		if sameKeys(n, list.Index(i), item) {
			return i
		}
	}
	return -1
}

func sameKeys(n *node, a, b reflect.Value) bool {
	for i := range n.keys {
		x, xok := keyOf(&n.keys[i], a)
		y, yok := keyOf(&n.keys[i], b)
		if xok != yok || x != y {
			return false
		}
	}
	return true
}

// key is the value of a key field: a string or an integer.
type key struct {
	text   string
	number int64
	isText bool
}

func keyOf(k *listKey, item reflect.Value) (key, bool) {
	f := fieldOf(k.entry, item)
	v := deref(orInvalid(f))
	if !v.IsValid() {
		switch d := k.fallback.(type) {
		case string:
			return key{text: d, isText: true}, true
		case int:
			return key{number: int64(d)}, true
		case int64:
			return key{number: d}, true
		}
		return key{}, false
	}
	switch v.Kind() {
	case reflect.String:
		return key{text: v.String(), isText: true}, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return key{number: v.Int()}, true
	}
	return key{}, false
}

// element is the path element of an item.
func element(n *node, item reflect.Value) (fieldpath.PathElement, bool) {
	fields := make(value.FieldList, 0, len(n.keys))
	for i := range n.keys {
		k, ok := keyOf(&n.keys[i], item)
		switch {
		case !ok:
		case k.isText:
			fields = append(fields, value.Field{Name: n.keys[i].name, Value: value.NewValueInterface(k.text)})
		default:
			fields = append(fields, value.Field{Name: n.keys[i].name, Value: value.NewValueInterface(k.number)})
		}
	}
	if len(fields) == 0 {
		return fieldpath.PathElement{}, false
	}
	fields.Sort()
	return fieldpath.PathElement{Key: &fields}, true
}
