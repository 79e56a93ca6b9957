package edge

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// Protocol is what endpoints are spoken to in.
type Protocol uint8

const (
	// HTTP is HTTP/1.1.
	HTTP Protocol = iota
	// H2C is HTTP/2 without TLS, as gRPC needs it.
	H2C
	// HTTPS is HTTP/2 or HTTP/1.1 in TLS, whichever the endpoint prefers.
	HTTPS
)

// Endpoints are where requests can go at the moment. They are never changed once
// they are set.
type Endpoints struct {
	Protocol  Protocol
	Addresses []netip.AddrPort
}

// Backend is a set of endpoints that changes with time. It is safe for concurrent
// use.
type Backend struct {
	name  string
	state atomic.Pointer[Endpoints]
	turn  atomic.Uint32
}

// NewBackend makes one without endpoints. The name is for logs.
func NewBackend(name string) *Backend {
	b := &Backend{name: name}
	b.state.Store(&Endpoints{})
	b.turn.Store(rand.Uint32())
	return b
}

// Set replaces the endpoints, for requests that are yet to be sent.
func (b *Backend) Set(e Endpoints) { b.state.Store(&e) }

// Endpoints returns those that are set.
func (b *Backend) Endpoints() Endpoints { return *b.state.Load() }

// next returns an endpoint that is not among those tried, in turn.
func (b *Backend) next(tried []netip.AddrPort) (netip.AddrPort, Protocol, bool) {
	e := b.state.Load()
	n := uint32(len(e.Addresses))
	if n == 0 {
		return netip.AddrPort{}, 0, false
	}
	start := b.turn.Add(1)
	for i := range n {
		a := e.Addresses[(start+i)%n]
		if !contains(tried, a) {
			return a, e.Protocol, true
		}
	}
	return netip.AddrPort{}, 0, false
}

func contains(list []netip.AddrPort, a netip.AddrPort) bool {
	for _, x := range list {
		if x == a {
			return true
		}
	}
	return false
}
