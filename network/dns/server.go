package dns

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// maxUDP is the largest answer over UDP that is worth a try: more is fragments.
const maxUDP = 1232

// maxAliases bounds how often one name may lead to another.
const maxAliases = 8

// Config is what a server is made of.
type Config struct {
	// Informers for Services and EndpointSlices, started by Run.
	Informers informers.SharedInformerFactory
	// Domain of the cluster, such as cluster.local.
	Domain string
	// Address to answer on, port 53 by custom.
	Address netip.AddrPort
	// Upstreams are the name servers for all other names.
	Upstreams []string
	Log       *slog.Logger
}

// Server answers on one node.
type Server struct {
	config  Config
	zone    *Zone
	forward *forwarder
	synced  []cache.InformerSynced
}

// New makes a server, before the informers are started.
func New(c Config) (*Server, error) {
	src, synced, err := newSource(c.Informers)
	if err != nil {
		return nil, fmt.Errorf("cluster DNS: %w", err)
	}
	return &Server{
		config: c, synced: synced, zone: &Zone{domain: dns.CanonicalName(c.Domain), source: src},
		forward: newForwarder(c.Upstreams, time.Now),
	}, nil
}

// Run listens and answers until ctx ends. It first waits until it knows the
// services, so that it denies none that is there.
func (s *Server) Run(ctx context.Context) error {
	s.config.Informers.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return nil
	}
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
	for range maxAliases {
		var a answer
		switch {
		case s.zone.owns(name):
			a = s.zone.Answer(name, asked.Qtype)
			m.Authoritative = true
		case strings.HasSuffix(name, ".arpa."):
			if a = s.zone.Reverse(name, asked.Qtype); !a.exists {
				s.pass(ctx, m, name, asked.Qtype)
				return
			}
		default:
			s.pass(ctx, m, name, asked.Qtype)
			return
		}
		if len(m.Answer) == 0 {
			spell(a.records, name, asked.Name)
		}
		m.Answer, m.Extra = append(m.Answer, a.records...), append(m.Extra, a.extra...)
		if a.follow == "" || asked.Qtype == dns.TypeCNAME {
			if !a.exists {
				m.Rcode = dns.RcodeNameError
			}
			if len(a.records) == 0 {
				m.Ns = append(m.Ns, s.zone.soa())
			}
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

// pass lets others answer.
func (s *Server) pass(ctx context.Context, m *dns.Msg, name string, kind uint16) {
	in, err := s.forward.ask(ctx, dns.Question{Name: name, Qtype: kind, Qclass: dns.ClassINET})
	if err != nil {
		s.config.Log.Debug("a name could not be resolved", "name", name, "err", err)
		m.Rcode = dns.RcodeServerFailure
		return
	}
	if len(m.Answer) == 0 && len(m.Question) == 1 {
		spell(in.Answer, name, m.Question[0].Name)
	}
	m.Rcode = in.Rcode
	m.Answer, m.Ns = append(m.Answer, in.Answer...), append(m.Ns, in.Ns...)
}
