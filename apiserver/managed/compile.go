package managed

import (
	"reflect"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// node is a Go type as the schema sees it: what to do at a place in an object
// to find out which of its fields differ. Nodes are compiled once per kind.
type node struct {
	kind nodeKind
	// fields of a structure, without those that nobody owns.
	fields []structField
	// elem of a map or list.
	elem *node
	// keys of a keyed list.
	keys []listKey
	typ  reflect.Type
	// unowned: the place itself belongs to nobody, only what is in it does.
	unowned bool
}

type nodeKind uint8

const (
	// leaf is owned as a whole: a scalar, or something atomic.
	leaf nodeKind = iota
	structure
	mapping
	// set is a list of scalars, keyed a list of structures with keys.
	set
	keyed
)

type structField struct {
	name  *string
	entry *value.FieldCacheEntry
	node  *node
}

type listKey struct {
	name  string
	entry *value.FieldCacheEntry
	// fallback is the value of a key that is left out, nil if there is none.
	fallback any
}

// compiler makes nodes out of Go types and the schema. It gives up on what the
// fast comparison does not know; such kinds are compared by the library.
type compiler struct {
	schema *schema.Schema
	known  map[compiled]*node
	failed bool
}

type compiled struct {
	typ  reflect.Type
	name string
	// relation is set where the place, not the type, says that it is atomic.
	relation schema.ElementRelationship
}

// unowned fields of the root and of its metadata belong to the server, and are
// never recorded.
var (
	unownedRoot = map[string]bool{"apiVersion": true, "kind": true}
	unownedMeta = map[string]bool{
		"name": true, "namespace": true, "creationTimestamp": true, "selfLink": true, "uid": true,
		"clusterName": true, "generation": true, "managedFields": true, "resourceVersion": true,
	}
)

// compile makes the node of a kind. skip are fields of the root, and such as
// "metadata.labels", that this write does not own. It returns nil where the library has to do the work.
func compile(s *schema.Schema, root schema.TypeRef, typ reflect.Type, skip map[string]bool) *node {
	c := &compiler{schema: s, known: map[compiled]*node{}}
	atom, ok := s.Resolve(root)
	if !ok || atom.Map == nil || typ.Kind() != reflect.Struct {
		return nil
	}
	n := c.structure(atom.Map, typ, func(f string) bool { return unownedRoot[f] || skip[f] })
	for i := range n.fields {
		if f := &n.fields[i]; *f.name == "metadata" && f.node.kind == structure {
			// A metadata of its own: other places of the type are whole.
			meta := *f.node
			meta.fields, meta.unowned = nil, true
			for _, m := range f.node.fields {
				if !unownedMeta[*m.name] && !skip["metadata."+*m.name] {
					meta.fields = append(meta.fields, m)
				}
			}
			f.node = &meta
		}
	}
	if c.failed {
		return nil
	}
	return n
}

func (c *compiler) node(ref schema.TypeRef, typ reflect.Type) *node {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	atom, ok := c.schema.Resolve(ref)
	if !ok {
		c.failed = true
		return &node{typ: typ}
	}
	if e := value.TypeReflectEntryOf(typ); e.CanConvertToUnstructured() {
		// Times, quantities and their like are scalars, or known to nobody.
		if whole(atom) {
			return &node{typ: typ}
		}
		c.failed = true
		return &node{typ: typ}
	}
	name := ""
	if ref.NamedType != nil {
		name = *ref.NamedType
	}
	k := compiled{typ: typ, name: name}
	if ref.ElementRelationship != nil {
		k.relation = *ref.ElementRelationship
	}
	if name != "" {
		if n := c.known[k]; n != nil {
			return n
		}
	}
	switch {
	case whole(atom):
		return &node{typ: typ}
	case atom.Map != nil && typ.Kind() == reflect.Struct:
		n := &node{kind: structure, typ: typ}
		if name != "" {
			c.known[k] = n // the type may contain itself
		}
		*n = *c.structure(atom.Map, typ, func(string) bool { return false })
		return n
	case atom.Map != nil && typ.Kind() == reflect.Map && typ.Key().Kind() == reflect.String && len(atom.Map.Fields) == 0:
		return &node{kind: mapping, typ: typ, elem: c.node(atom.Map.ElementType, typ.Elem())}
	case atom.List != nil && typ.Kind() == reflect.Slice && len(atom.List.Keys) == 0:
		n := &node{kind: set, typ: typ, elem: c.node(atom.List.ElementType, typ.Elem())}
		if k := typ.Elem().Kind(); k != reflect.String {
			c.failed = true
		}
		return n
	case atom.List != nil && typ.Kind() == reflect.Slice:
		return c.keyed(atom.List, typ)
	}
	c.failed = true
	return &node{typ: typ}
}

// whole reports whether a type is owned as one: every form that its values may
// have is a scalar or atomic.
func whole(a schema.Atom) bool {
	if a.Map != nil && a.Map.ElementRelationship != schema.Atomic {
		return false
	}
	if a.List != nil && a.List.ElementRelationship != schema.Atomic {
		return false
	}
	return true
}

func (c *compiler) structure(m *schema.Map, typ reflect.Type, skip func(string) bool) *node {
	n := &node{kind: structure, typ: typ}
	for _, e := range value.TypeReflectEntryOf(typ).OrderedFields() {
		if skip(e.JsonName) {
			continue
		}
		ref := m.ElementType
		if f, ok := m.FindField(e.JsonName); ok {
			ref = f.Type
		}
		t := e.GetFrom(reflect.New(typ).Elem()).Type()
		name := e.JsonName
		n.fields = append(n.fields, structField{name: &name, entry: e, node: c.node(ref, t)})
	}
	return n
}

func (c *compiler) keyed(l *schema.List, typ reflect.Type) *node {
	n := &node{kind: keyed, typ: typ, elem: c.node(l.ElementType, typ.Elem())}
	elem := typ.Elem()
	atom, ok := c.schema.Resolve(l.ElementType)
	if !ok || atom.Map == nil || elem.Kind() != reflect.Struct {
		c.failed = true
		return n
	}
	entries := value.TypeReflectEntryOf(elem).Fields()
	for _, k := range l.Keys {
		e := entries[k]
		if e == nil {
			c.failed = true
			return n
		}
		f, _ := atom.Map.FindField(k)
		n.keys = append(n.keys, listKey{name: k, entry: e, fallback: f.Default})
	}
	return n
}
