package proxy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Key is what a client addresses.
type Key struct {
	// Addr is invalid for a node port, which every address of the node has.
	Addr netip.Addr
	// V6 is the family. It tells the two families of one node port apart.
	V6       bool
	Protocol v1.Protocol
	Port     uint16
}

func (k Key) nodePort() bool { return !k.Addr.IsValid() }

// protocol is the name of the protocol in nftables.
func (k Key) protocol() string { return strings.ToLower(string(k.Protocol)) }

func (k Key) String() string {
	addr := "node"
	if k.Addr.IsValid() {
		addr = k.Addr.String()
	}
	return fmt.Sprintf("%s/%d/%s", addr, k.Port, k.protocol())
}

// Scope says from where a front is meant to be reached.
type Scope uint8

const (
	// Internal is a cluster IP.
	Internal Scope = iota
	// External is reached from outside, and answers from any node; so that the
	// answer comes back this way, the client's address is lost.
	External
	// ExternalLocal is reached from outside, and keeps the client's address, for
	// only endpoints of this node are used. Clients in the cluster, who do not
	// need that, reach all endpoints.
	ExternalLocal
)

// Front is one address and port that clients use, and the endpoints behind it.
// Fronts are values: they are never changed once made.
type Front struct {
	Key
	Service types.NamespacedName
	// Created is when the service was made. Of several services that claim one
	// front, the oldest has it.
	Created time.Time
	Scope   Scope
	// Targets are the endpoints, sorted, without repetition.
	Targets []netip.AddrPort
	// Local are the endpoints of this node that clients outside of the cluster
	// are sent to. Only for ExternalLocal.
	Local []netip.AddrPort
	// Silent drops connections where there are no targets. Otherwise they are
	// refused.
	Silent bool
	// Affinity is for how long a client stays with its endpoint; 0 for no time.
	Affinity time.Duration
	// Sources are the only addresses that may connect. Nil for all.
	Sources []netip.Prefix
}

// prior reports whether f has a claim before g.
func (f *Front) prior(g *Front) bool {
	return cmp.Or(f.Created.Compare(g.Created),
		cmp.Compare(f.Service.Namespace, g.Service.Namespace),
		cmp.Compare(f.Service.Name, g.Service.Name),
		cmp.Compare(f.Scope, g.Scope)) < 0
}

func (f *Front) equal(g *Front) bool {
	return f.Key == g.Key && f.Service == g.Service && f.Created.Equal(g.Created) && f.Scope == g.Scope &&
		slices.Equal(f.Targets, g.Targets) && slices.Equal(f.Local, g.Local) && f.Silent == g.Silent &&
		f.Affinity == g.Affinity && slices.Equal(f.Sources, g.Sources) && (f.Sources == nil) == (g.Sources == nil)
}

// served reports whether the front is its own only endpoint: something on this
// node listens on the address itself, and packets are left alone.
func (f *Front) served() bool {
	return len(f.Targets) == 1 && f.Targets[0] == netip.AddrPortFrom(f.Addr, f.Port)
}
