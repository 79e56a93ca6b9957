package dns

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
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
	// avoided is for how long a name server that did not answer is asked last.
	avoided = 5 * time.Second
)

var (
	errNoUpstream = errors.New("the node knows no name server but this one: set one in its resolv.conf")
	errNobody     = errors.New("the Corefile says of nobody who answers for it")
)

// forward is a directive of that name.
type forward struct {
	*forwarder
	from   string
	except []string
}

func (f *forward) takes(name string) bool {
	return dns.IsSubDomain(f.from, name) && !within(f.except, name)
}

// keeping is what is remembered of answers, and for how long at most.
type keeping struct {
	success, denial time.Duration
	capacity        int
	zones           []string // none: all
}

// forwarder asks other name servers, and remembers what they say.
type forwarder struct {
	servers []string // host:port
	policy  string   // random, round_robin or sequential
	tcp     bool
	keep    keeping
	now     func() time.Time
	slots   chan struct{}

	mu    sync.Mutex
	cache map[dns.Question]cached
	turn  int
	// silent are servers that did not answer, and until when they are asked last.
	silent map[string]time.Time
}

type cached struct {
	answer *dns.Msg
	since  time.Time
	until  time.Time
}

func newForwarder(servers []string, now func() time.Time) *forwarder {
	return &forwarder{
		servers: servers, policy: "random", now: now, slots: make(chan struct{}, maxForwarded),
		cache: map[dns.Question]cached{}, silent: map[string]time.Time{},
	}
}

// order is that in which servers are asked: by the policy, and those last that were
// silent a moment ago.
func (f *forwarder) order() []string {
	all := slices.Clone(f.servers)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case len(all) < 2:
		return all
	case f.policy == "random":
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	case f.policy == "round_robin":
		f.turn = (f.turn + 1) % len(all)
		all = append(all[f.turn:], all[:f.turn]...)
	}
	now := f.now()
	slices.SortStableFunc(all, func(a, b string) int {
		return boolean(now.Before(f.silent[a])) - boolean(now.Before(f.silent[b]))
	})
	return all
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *forwarder) heard(server string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ok {
		delete(f.silent, server)
	} else {
		f.silent[server] = f.now().Add(avoided)
	}
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
	for _, server := range f.order() {
		var in *dns.Msg
		in, err = exchange(ctx, m, server, f.tcp)
		if f.heard(server, err == nil); err == nil {
			f.remember(q, in)
			return in, nil
		}
	}
	return nil, err
}

// exchange asks by UDP, and again by TCP where the answer does not fit.
func exchange(ctx context.Context, m *dns.Msg, server string, tcp bool) (*dns.Msg, error) {
	c := dns.Client{Timeout: upstreamTimeout, UDPSize: maxUDP}
	if tcp {
		c.Net = "tcp"
	}
	in, _, err := c.ExchangeContext(ctx, m, server)
	if err == nil && in.Truncated && !tcp {
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
	keep, ok := f.keep.lifetime(m)
	if !ok || len(f.keep.zones) > 0 && !within(f.keep.zones, q.Name) {
		return
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.cache {
		if len(f.cache) < f.keep.capacity {
			break
		}
		delete(f.cache, k) // whichever comes first: the order of a map is random
	}
	f.cache[q] = cached{answer: m.Copy(), since: now, until: now.Add(keep)}
}

func (k *keeping) lifetime(m *dns.Msg) (time.Duration, bool) {
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
	most := k.denial
	if len(m.Answer) > 0 {
		most = k.success
	}
	return min(max(time.Duration(least)*time.Second, minKept), most), found && most > 0
}
