package simulate

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"proa/apiserver/local"
	"proa/auth"
	"proa/node/hollow"
)

// What a client sees of a network that fails it.
var (
	errRefused = errors.New("simulated network: connection refused")
	errReset   = errors.New("simulated network: connection reset by peer")
)

// network lies between the API server and those who are not part of its
// process: users and nodes.
type network struct {
	seed uint64

	mu   sync.Mutex
	odds odds
	n    uint64
	// server is nil while there is none, and alive ends with it.
	server http.Handler
	alive  context.Context
	// cuts end the watches under way.
	cuts map[*stream]struct{}
}

// connect lets requests through to a server until alive ends.
func (n *network) connect(alive context.Context, server http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server, n.alive = server, alive
}

func (n *network) disconnect() {
	n.mu.Lock()
	n.server = nil
	n.mu.Unlock()
	n.cut()
}

// cut ends all watches of clients.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.cuts {
		s.cancel()
	}
	clear(n.cuts)
}

// calm ends all faults.
func (n *network) calm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.odds = odds{}
}

// next draws the fate of a request.
func (n *network) next() (server http.Handler, alive context.Context, o odds, r *rand.Rand) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.n++
	return n.server, n.alive, n.odds, fate(n.seed, 2, n.n)
}

// client is the transport of one user, or of the nodes.
type client struct {
	network *network
	user    *auth.User
}

// RoundTrip implements http.RoundTripper.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	server, alive, odds, random := c.network.next()
	verdict := random.IntN(1000)
	if server == nil || verdict < odds.refused {
		return nil, errRefused
	}
	ctx, cancel := context.WithCancel(r.Context())
	release := context.AfterFunc(alive, cancel)
	done := func() { release(); cancel() }
	verdict -= odds.refused
	if verdict >= odds.lost && verdict < odds.lost+odds.slow {
		if err := sleep(ctx, time.Duration(random.Int64N(int64(odds.delay)))); err != nil {
			done()
			return nil, errReset
		}
	}
	t := &local.Transport{Handler: server, User: c.user, As: func(ctx context.Context) *auth.User {
		if name := hollow.NodeOf(ctx); name != "" {
			return hollow.User(name)
		}
		return nil
	}}
	resp, err := t.RoundTrip(r.WithContext(ctx))
	if err != nil {
		done()
		return nil, errReset
	}
	watch := r.URL.Query().Get("watch") != ""
	if !watch && verdict >= 0 && verdict < odds.lost {
		// The request was carried out, and nobody is told.
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		done()
		return nil, errReset
	}
	s := &stream{ReadCloser: resp.Body, network: c.network, cancel: done}
	if watch {
		c.network.mu.Lock()
		if c.network.cuts == nil {
			c.network.cuts = map[*stream]struct{}{}
		}
		c.network.cuts[s] = struct{}{}
		c.network.mu.Unlock()
	}
	resp.Body = s
	return resp, nil
}

// stream is a body that ends with the connection.
type stream struct {
	io.ReadCloser
	network *network
	cancel  context.CancelFunc
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.network.mu.Lock()
	delete(s.network.cuts, s)
	s.network.mu.Unlock()
	err := s.ReadCloser.Close()
	s.cancel()
	return err
}
