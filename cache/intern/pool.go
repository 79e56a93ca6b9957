package intern

import (
	"bytes"
	"hash/maphash"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxString is the length of the longest string that is kept, and maxRaw that
// of managed fields.
const (
	maxString = 256
	maxRaw    = 16 << 10
)

// Pool remembers parts of objects. It is safe for concurrent use.
type Pool struct {
	types sync.Map // reflect.Type → walker

	mu      sync.Mutex
	seed    maphash.Seed
	strings generations[string, string]
	parts   generations[partKey, part]
}

// partKey finds a part: a slice's array, a map, or what a pointer points to.
type partKey struct {
	typ  reflect.Type
	hash uint64
}

type part struct {
	p   unsafe.Pointer
	len int // bytes; entries of a map
}

// New makes a pool that keeps about n strings and n other parts.
func New(n int) *Pool {
	return &Pool{
		seed:    maphash.MakeSeed(),
		strings: newGenerations[string, string](n / 2),
		parts:   newGenerations[partKey, part](n / 2),
	}
}

// Object makes the parts of the struct that obj points to canonical. The
// struct itself is changed; nothing below it is.
func (p *Pool) Object(obj any) {
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct || !ours(v.Type().Elem()) {
		return
	}
	w := p.walker(v.Type().Elem())
	if w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w(v.UnsafePointer())
}

// generations is a map that forgets what was not asked for since the last but
// one time it was full.
type generations[K comparable, V any] struct {
	limit      int
	young, old map[K]V
}

func newGenerations[K comparable, V any](limit int) generations[K, V] {
	return generations[K, V]{limit: max(limit, 1), young: map[K]V{}}
}

func (g *generations[K, V]) get(k K) (V, bool) {
	v, ok := g.young[k]
	if !ok {
		if v, ok = g.old[k]; ok {
			g.put(k, v)
		}
	}
	return v, ok
}

func (g *generations[K, V]) put(k K, v V) {
	if len(g.young) >= g.limit {
		g.old, g.young = g.young, map[K]V{}
	}
	g.young[k] = v
}

// string returns the canonical string equal to s.
func (p *Pool) string(s string) string {
	if s == "" || len(s) > maxString {
		return s
	}
	if c, ok := p.strings.get(s); ok {
		return c
	}
	// A copy, so that a part of a large text does not keep all of it.
	s = strings.Clone(s)
	p.strings.put(s, s)
	return s
}

// raw returns the canonical bytes equal to b, which nobody may change.
func (p *Pool) raw(b []byte) []byte {
	if len(b) == 0 || len(b) > maxRaw {
		return b
	}
	if c, ok := p.strings.get(unsafe.String(unsafe.SliceData(b), len(b))); ok {
		return unsafe.Slice(unsafe.StringData(c), len(c))
	}
	s := string(b)
	p.strings.put(s, s)
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// find returns the canonical memory equal to n bytes at m, which hold values
// of the type, or nil. Memory whose parts are not canonical may be missed.
func (p *Pool) find(t reflect.Type, m unsafe.Pointer, n int) (unsafe.Pointer, partKey) {
	b := unsafe.Slice((*byte)(m), n)
	k := partKey{t, maphash.Bytes(p.seed, b)}
	if c, ok := p.parts.get(k); ok && c.len == n && bytes.Equal(b, unsafe.Slice((*byte)(c.p), n)) {
		return c.p, k
	}
	return nil, k
}

// memory returns the canonical memory equal to n bytes at m, which becomes
// canonical itself where there is none.
func (p *Pool) memory(t reflect.Type, m unsafe.Pointer, n int) unsafe.Pointer {
	c, k := p.find(t, m, n)
	if c == nil {
		p.parts.put(k, part{m, n})
		return m
	}
	return c
}

// text returns the canonical map equal to m.
func (p *Pool) text(t reflect.Type, m map[string]string) map[string]string {
	var hash uint64
	for k, v := range m {
		hash += maphash.String(p.seed, k)*31 ^ maphash.String(p.seed, v)
	}
	key := partKey{t, hash}
	if c, ok := p.parts.get(key); ok && c.len == len(m) {
		was := *(*map[string]string)(unsafe.Pointer(&c.p))
		if equal(was, m, func(a, b string) bool { return a == b }) {
			return was
		}
	}
	clean := make(map[string]string, len(m))
	for k, v := range m {
		clean[p.string(k)] = p.string(v)
	}
	p.parts.put(key, part{*(*unsafe.Pointer)(unsafe.Pointer(&clean)), len(m)})
	return clean
}

// resources returns the canonical map equal to m.
func (p *Pool) resources(m corev1.ResourceList) corev1.ResourceList {
	var hash uint64
	for k, v := range m {
		i, _ := v.AsInt64() // only spreads; what has no integer is compared
		hash += maphash.String(p.seed, string(k))*31 ^ uint64(i)
	}
	key := partKey{reflect.TypeFor[corev1.ResourceList](), hash}
	if c, ok := p.parts.get(key); ok && c.len == len(m) {
		was := *(*corev1.ResourceList)(unsafe.Pointer(&c.p))
		if equal(was, m, sameQuantity) {
			return was
		}
	}
	p.parts.put(key, part{*(*unsafe.Pointer)(unsafe.Pointer(&m)), len(m)})
	return m
}

// sameQuantity reports whether two quantities are written alike.
func sameQuantity(a, b resource.Quantity) bool {
	return a.Format == b.Format && a.Cmp(b) == 0 && a.String() == b.String()
}

func equal[K comparable, V any](a, b map[K]V, same func(V, V) bool) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range b {
		if w, ok := a[k]; !ok || !same(w, v) {
			return false
		}
	}
	return true
}

// ours reports whether a struct is one of the API's, whose fields are data and
// nothing else.
func ours(t reflect.Type) bool { return strings.HasPrefix(t.PkgPath(), "k8s.io/") }

var rawType = reflect.TypeFor[metav1.FieldsV1]()
