package dns

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// maxUDP is the largest answer over UDP that is worth a try: more is fragments.
const maxUDP = 1232

// maxAliases bounds how often one name may lead to another.
const maxAliases = 8

// Config is what a server is made of.
type Config struct {
	// Informers for Services and EndpointSlices, started by Run.
	Informers informers.SharedInformerFactory
	// Client may read the ConfigMaps that hold the Corefile. Nil: the default one is
	// used.
	Client kubernetes.Interface
	// Events takes what is wrong with them.
	Events record.EventRecorder
	// Domain of the cluster, such as cluster.local.
	Domain string
	// Address to answer on, port 53 by custom.
	Address netip.AddrPort
	// Upstreams are the name servers of the node.
	Upstreams []string
	Log       *slog.Logger
}

// Server answers on one node.
type Server struct {
	config Config
	source source
	synced []cache.InformerSynced
	view   atomic.Pointer[view]
	follow *follower
}

// New makes a server, before the informers are started.
func New(c Config) (*Server, error) {
	src, synced, err := newSource(c.Informers)
	if err != nil {
		return nil, fmt.Errorf("cluster DNS: %w", err)
	}
	s := &Server{config: c, synced: synced, source: src}
	if _, err := s.use(DefaultCorefile(c.Domain), nil, nil); err != nil {
		return nil, fmt.Errorf("cluster DNS: %w", err)
	}
	s.follow, err = newFollower(s)
	return s, err
}

// use answers by another Corefile from now on, unless it is wrong.
func (s *Server) use(corefile string, data, custom files) (warnings []string, err error) {
	v, warnings, err := compile(corefile, environment{
		source: s.source, own: s.config.Address, resolvers: s.config.Upstreams, files: data, custom: custom, now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	s.view.Store(v)
	return warnings, nil
}

// Run listens and answers until ctx ends. It first waits until it knows the
// services, so that it denies none that is there.
func (s *Server) Run(ctx context.Context) error {
	s.config.Informers.Start(ctx.Done())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.follow.run(ctx) })
	g.Go(func() error {
		if !cache.WaitForCacheSync(ctx.Done(), s.synced...) || !s.follow.wait(ctx) {
			return nil
		}
		return s.listen(ctx)
	})
	return g.Wait()
}

func (s *Server) listen(ctx context.Context) error {
	packets, err := net.ListenPacket("udp", s.config.Address.String())
	if err != nil {
		return fmt.Errorf("cluster DNS cannot listen on %s: stop what uses the port: %w", s.config.Address, err)
	}
	listener, err := net.Listen("tcp", s.config.Address.String())
	if err != nil {
		packets.Close()
		return fmt.Errorf("cluster DNS cannot listen on %s: stop what uses the port: %w", s.config.Address, err)
	}
	return s.serve(ctx, packets, listener)
}

func (s *Server) serve(ctx context.Context, packets net.PacketConn, listener net.Listener) error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.handle(ctx, w, q) })
	g, ctx := errgroup.WithContext(ctx)
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: handler, UDPSize: maxUDP},
		{Listener: listener, Handler: handler, MaxTCPQueries: 128, IdleTimeout: func() time.Duration { return 8 * time.Second }},
	} {
		g.Go(func() error {
			err := server.ActivateAndServe()
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		packets.Close()
		listener.Close()
		return nil
	})
	return g.Wait()
}

func (s *Server) handle(ctx context.Context, w dns.ResponseWriter, q *dns.Msg) {
	m := s.reply(ctx, q)
	size := dns.MinMsgSize
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(maxUDP, false)
		size = min(max(size, int(o.UDPSize())), maxUDP)
	}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); tcp {
		size = dns.MaxMsgSize
	}
	m.Truncate(size)
	// A client that has gone needs no answer.
	_ = w.WriteMsg(m)
}

// reply answers a message.
func (s *Server) reply(ctx context.Context, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 || q.Question[0].Qclass != dns.ClassINET {
		m.Rcode = dns.RcodeNotImplemented
		return m
	}
	asked := q.Question[0]
	s.resolve(ctx, m, strings.ToLower(dns.Fqdn(asked.Name)), asked)
	rand.Shuffle(len(m.Answer), func(i, j int) {
		// An alias stays before what it leads to.
		if m.Answer[i].Header().Rrtype != dns.TypeCNAME && m.Answer[j].Header().Rrtype != dns.TypeCNAME {
			m.Answer[i], m.Answer[j] = m.Answer[j], m.Answer[i]
		}
	})
	return m
}

// resolve follows a name and its aliases.
func (s *Server) resolve(ctx context.Context, m *dns.Msg, name string, asked dns.Question) {
	v := s.view.Load()
	for range maxAliases {
		b := v.find(name)
		if b == nil {
			m.Rcode = dns.RcodeRefused
			return
		}
		under := b.rewritten(name)
		a, err := b.look(ctx, under, asked.Qtype)
		if err != nil {
			s.config.Log.Debug("a name could not be resolved", "name", under, "err", err)
		}
		spell(a.records, under, name)
		if len(m.Answer) == 0 {
			spell(a.records, name, asked.Name)
		}
		if b.log {
			s.config.Log.Info("DNS query", "name", name, "type", dns.TypeToString[asked.Qtype], "rcode", dns.RcodeToString[a.rcode], "answers", len(a.records))
		}
		m.Authoritative = m.Authoritative || a.authoritative
		m.Answer, m.Extra, m.Ns = append(m.Answer, a.records...), append(m.Extra, a.extra...), append(m.Ns, a.ns...)
		if a.follow == "" || asked.Qtype == dns.TypeCNAME {
			m.Rcode = a.rcode
			return
		}
		name = strings.ToLower(a.follow)
	}
}

// spell gives records the name as it was asked for: some clients check even
// which letters were capital.
func spell(records []dns.RR, name, asked string) {
	for _, r := range records {
		if h := r.Header(); h.Name == name {
			h.Name = asked
		}
	}
}
