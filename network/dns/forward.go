package dns

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxCached bounds how many answers of others are kept.
	maxCached = 10_000
	// maxKept and minKept bound for how long, whatever the answer says.
	maxKept, minKept = time.Hour, time.Second
	// upstreamTimeout is how long one name server has to answer.
	upstreamTimeout = 2 * time.Second
	// maxForwarded bounds the questions that wait for others.
	maxForwarded = 1000
)

var errNoUpstream = errors.New("the node knows no name server but this one: set one in its resolv.conf")

// forwarder asks other name servers, and remembers what they say.
type forwarder struct {
	servers []string // host:port
	now     func() time.Time
	slots   chan struct{}

	mu    sync.Mutex
	cache map[dns.Question]cached
}

type cached struct {
	answer *dns.Msg
	since  time.Time
	until  time.Time
}

func newForwarder(servers []string, now func() time.Time) *forwarder {
	f := &forwarder{now: now, slots: make(chan struct{}, maxForwarded), cache: map[dns.Question]cached{}}
	for _, s := range servers {
		f.servers = append(f.servers, net.JoinHostPort(s, "53"))
	}
	return f
}

// ask returns a message that the caller may change.
func (f *forwarder) ask(ctx context.Context, q dns.Question) (*dns.Msg, error) {
	if m := f.remembered(q); m != nil {
		return m, nil
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return nil, errors.New("too many questions wait for other name servers")
	}
	m := new(dns.Msg)
	m.SetQuestion(q.Name, q.Qtype)
	m.SetEdns0(maxUDP, false)
	err := errNoUpstream
	for _, server := range f.servers {
		var in *dns.Msg
		if in, err = exchange(ctx, m, server); err == nil {
			f.remember(q, in)
			return in, nil
		}
	}
	return nil, err
}

// exchange asks by UDP, and again by TCP where the answer does not fit.
func exchange(ctx context.Context, m *dns.Msg, server string) (*dns.Msg, error) {
	c := dns.Client{Timeout: upstreamTimeout, UDPSize: maxUDP}
	in, _, err := c.ExchangeContext(ctx, m, server)
	if err == nil && in.Truncated {
		c.Net = "tcp"
		in, _, err = c.ExchangeContext(ctx, m, server)
	}
	return in, err
}

func (f *forwarder) remembered(q dns.Question) *dns.Msg {
	f.mu.Lock()
	c, ok := f.cache[q]
	f.mu.Unlock()
	now := f.now()
	if !ok || !now.Before(c.until) {
		return nil
	}
	m := c.answer.Copy()
	age := uint32(now.Sub(c.since) / time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			if h := r.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return m
}

// remember keeps an answer, or that there is none, for as long as it says.
func (f *forwarder) remember(q dns.Question, m *dns.Msg) {
	keep, ok := lifetime(m)
	if !ok {
		return
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.cache {
		if len(f.cache) < maxCached {
			break
		}
		delete(f.cache, k) // whichever comes first: the order of a map is random
	}
	f.cache[q] = cached{answer: m.Copy(), since: now, until: now.Add(keep)}
}

func lifetime(m *dns.Msg) (time.Duration, bool) {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0, false
	}
	least, found := uint32(maxKept/time.Second), false
	for _, r := range m.Answer {
		least, found = min(least, r.Header().Ttl), true
	}
	if !found {
		for _, r := range m.Ns {
			if s, ok := r.(*dns.SOA); ok {
				least, found = min(least, s.Hdr.Ttl, s.Minttl), true
			}
		}
	}
	return max(time.Duration(least)*time.Second, minKept), found
}
