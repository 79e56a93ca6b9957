package cache

import (
	"strings"
	"sync"
	"sync/atomic"

	"proa/resource"
)

// Entry is one object at one revision. It and all that it refers to are
// immutable and shared.
type Entry struct {
	// Key in the store. Namespace and Name are parts of it; Namespace is empty
	// for cluster scoped resources.
	Key       string
	Namespace string
	Name      string
	// Object has its resource version set. It is nil where Err is not.
	Object resource.Object
	// Revision of the last write, and CreateRevision of the first. In a
	// DELETED event Revision is that of the removal.
	Revision       int64
	CreateRevision int64
	// Err is a *CorruptError where the stored value cannot be decoded.
	Err error

	cache     *Cache
	stored    []byte // plain, in the form of Codec.Encode
	index     []string
	encodings atomic.Pointer[encoding]
	good      *Entry // the last one that could be decoded, where Err is set
	// generation of the transformers that could not decode it, where Err is set.
	generation int64
}

// Stored returns the bytes of the object as the codec encoded it, without its
// resource version. They must not be changed.
func (e *Entry) Stored() []byte { return e.stored }

// cost is about how much memory goes when e goes, given that much of the
// object is shared with others.
func (e *Entry) cost() int64 { return 1024 + 2*int64(len(e.stored)) }

// removed returns what a DELETED event shows: the object as it last was, at
// the revision of its removal.
func (e *Entry) removed(rev int64) *Entry {
	if e.Object == nil {
		return e
	}
	obj := e.cache.hub.codec.Share(e.cache.Definition, e.Object, e.stored)
	obj.SetResourceVersion(formatRevision(rev))
	return &Entry{
		Key: e.Key, Namespace: e.Namespace, Name: e.Name, Object: obj, Revision: rev,
		CreateRevision: e.CreateRevision, cache: e.cache, stored: e.stored, index: e.index,
	}
}

// visible returns e as watches see it: its last state that could be decoded,
// or nil.
func (e *Entry) visible() *Entry {
	if e != nil && e.Err != nil {
		return e.good
	}
	return e
}

// EncodingKey names a wire form of an object. It must name everything that
// the form depends on beside the object itself.
type EncodingKey struct {
	// Version served, such as "apps/v1".
	Version string
	// Format is anything else, such as "json" or "table;protobuf".
	Format string
}

// encoding is one wire form of an entry, in the entry's list of them.
type encoding struct {
	key  EncodingKey
	next *encoding

	mu   sync.Mutex // held while data is made
	data atomic.Pointer[[]byte]
	used atomic.Bool // since the budget last looked
}

// Encoding returns the wire form named by key, which make is called for once,
// however many ask for it at the same time. The result must not be changed.
// An encoding that nobody asked for in a while may be forgotten and made
// again. Errors are not kept.
func (e *Entry) Encoding(key EncodingKey, make func() ([]byte, error)) ([]byte, error) {
	if e.cache == nil {
		return make() // not an entry of a cache
	}
	enc := e.encoding(key)
	if data := enc.data.Load(); data != nil {
		if !enc.used.Load() {
			enc.used.Store(true)
		}
		return *data, nil
	}
	enc.mu.Lock()
	defer enc.mu.Unlock()
	if data := enc.data.Load(); data != nil {
		return *data, nil
	}
	data, err := make()
	if err != nil {
		return nil, err
	}
	enc.data.Store(&data)
	e.cache.hub.encodings.keep(enc, int64(len(data)))
	return data, nil
}

// encoding finds or adds the slot of a form.
func (e *Entry) encoding(key EncodingKey) *encoding {
	for {
		head := e.encodings.Load()
		for enc := head; enc != nil; enc = enc.next {
			if enc.key == key {
				return enc
			}
		}
		enc := &encoding{key: key, next: head}
		if e.encodings.CompareAndSwap(head, enc) {
			return enc
		}
	}
}

// encodingBudget bounds the bytes of all encodings: a queue in order of
// making, whose oldest goes first unless it was used since the last look.
type encodingBudget struct {
	mu    sync.Mutex
	limit int64
	bytes int64
	queue []heldEncoding
	head  int
}

type heldEncoding struct {
	enc  *encoding
	size int64
}

// keep accounts for a new encoding and forgets old ones past the limit.
func (b *encodingBudget) keep(enc *encoding, size int64) {
	size += 128
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, heldEncoding{enc, size})
	b.bytes += size
	for b.bytes > b.limit && b.head < len(b.queue) {
		h := b.queue[b.head]
		b.queue[b.head] = heldEncoding{}
		b.head++
		if h.enc.used.Swap(false) && h.enc != enc {
			b.queue = append(b.queue, h)
			continue
		}
		h.enc.data.Store(nil)
		b.bytes -= h.size
	}
	if b.head > 1024 && b.head > len(b.queue)/2 {
		b.queue = append(b.queue[:0:0], b.queue[b.head:]...)
		b.head = 0
	}
}

// split returns the namespace and name in a key of def, as parts of it.
func split(def *resource.Definition, key string) (namespace, name string) {
	rest := key[len(def.Root()):]
	if def.ClusterScoped {
		return "", rest
	}
	namespace, name, ok := strings.Cut(rest, "/")
	if !ok {
		return "", rest
	}
	return namespace, name
}
