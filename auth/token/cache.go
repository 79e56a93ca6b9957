package token

import (
	"container/list"
	"context"
	"crypto/sha256"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"proa/auth"
)

// Memory is a bounded table of what is known of tokens. It holds their hashes
// only. Where it is full, what was used longest ago goes. Safe for concurrent
// use.
type Memory[V any] struct {
	size  int
	clock clock.PassiveClock

	mu     sync.Mutex
	order  *list.List // of *entry[V], latest use first
	byHash map[[sha256.Size]byte]*list.Element
}

type entry[V any] struct {
	hash  [sha256.Size]byte
	value V
	until time.Time
}

// NewMemory makes a table for at most size tokens.
func NewMemory[V any](size int, c clock.PassiveClock) *Memory[V] {
	return &Memory[V]{size: size, clock: c, order: list.New(), byHash: map[[sha256.Size]byte]*list.Element{}}
}

// Hash is the key of a token, for one list of audiences.
func Hash(token string, audiences []string) [sha256.Size]byte {
	if len(audiences) == 0 {
		// Without a copy of the token, which is read only.
		return sha256.Sum256(unsafe.Slice(unsafe.StringData(token), len(token)))
	}
	h := sha256.New()
	h.Write([]byte(token))
	for _, a := range audiences {
		h.Write([]byte{0})
		h.Write([]byte(a))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Get returns what is known, until it is too old.
func (m *Memory[V]) Get(hash [sha256.Size]byte) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byHash[hash]
	if e == nil {
		var zero V
		return zero, false
	}
	v := e.Value.(*entry[V])
	if !m.clock.Now().Before(v.until) {
		m.order.Remove(e)
		delete(m.byHash, hash)
		var zero V
		return zero, false
	}
	m.order.MoveToFront(e)
	return v.value, true
}

// Put remembers a value until a time.
func (m *Memory[V]) Put(hash [sha256.Size]byte, value V, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byHash[hash]; e != nil {
		m.order.Remove(e)
	}
	m.byHash[hash] = m.order.PushFront(&entry[V]{hash, value, until})
	for m.order.Len() > m.size {
		last := m.order.Back()
		m.order.Remove(last)
		delete(m.byHash, last.Value.(*entry[V]).hash)
	}
}

// Cache remembers the users that a slow mechanism names, and asks it once where
// many requests come with the same token at the same time. Errors are not
// remembered.
type Cache struct {
	next     auth.TokenAuthenticator
	ttl      time.Duration
	clock    clock.PassiveClock
	known    *Memory[answer]
	refusals bool
	asking   singleflight.Group
}

type answer struct {
	user  *auth.User
	valid []string
}

// Option changes what a [Cache] remembers.
type Option func(*Cache)

// Refusals are remembered too, as long as users. Without it a token is good as soon
// as the mechanism says so.
func Refusals(c *Cache) { c.refusals = true }

// NewCache remembers at most size answers of next, each for ttl: as long as a
// withdrawn token may still be accepted.
func NewCache(next auth.TokenAuthenticator, size int, ttl time.Duration, c clock.PassiveClock, options ...Option) *Cache {
	cache := &Cache{next: next, ttl: ttl, clock: c, known: NewMemory[answer](size, c)}
	for _, o := range options {
		o(cache)
	}
	return cache
}

// AuthenticateToken implements [auth.TokenAuthenticator].
func (c *Cache) AuthenticateToken(ctx context.Context, token string, audiences []string) (*auth.User, []string, error) {
	h := Hash(token, audiences)
	if a, ok := c.known.Get(h); ok {
		return a.user, a.valid, nil
	}
	// Whoever asks first may go away; the answer is for the others too. Mechanisms
	// bound their own time.
	found := c.asking.DoChan(string(h[:]), func() (any, error) {
		user, valid, err := c.next.AuthenticateToken(context.WithoutCancel(ctx), token, audiences)
		a := answer{user, valid}
		if err == nil && (user != nil || c.refusals) {
			c.known.Put(h, a, c.clock.Now().Add(c.ttl))
		}
		return a, err
	})
	select {
	case r := <-found:
		a, _ := r.Val.(answer)
		return a.user, a.valid, r.Err
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}
