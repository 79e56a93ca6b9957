package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// resolvConf is the file whose name stands for the node's own name servers.
const resolvConf = "/etc/resolv.conf"

func (c *compiler) forward(b *block, d *directive) error {
	if len(d.words) < 3 {
		return d.errorf("must be: forward FROM TO...")
	}
	f := &forward{forwarder: newForwarder(nil, c.now)}
	var err error
	if f.from, err = zone(d.words[1]); err != nil {
		return d.errorf("%v", err)
	}
	for _, to := range d.words[2:] {
		servers, err := c.upstream(to)
		if err != nil {
			return d.errorf("%s: %v", to, err)
		}
		f.servers = append(f.servers, servers...)
	}
	for i := range d.body {
		if err := c.forwardOption(f, &d.body[i]); err != nil {
			return err
		}
	}
	b.forwards = append(b.forwards, f)
	return nil
}

// upstream reads where to forward to: host:port.
func (c *compiler) upstream(to string) ([]string, error) {
	if to == resolvConf {
		var out []string
		for _, r := range c.resolvers {
			out = append(out, net.JoinHostPort(r, "53"))
		}
		return out, nil
	}
	rest, ok := strings.CutPrefix(to, "dns://")
	if !ok && strings.Contains(to, "://") {
		return nil, fmt.Errorf("only plain DNS is spoken to others")
	}
	at, err := netip.ParseAddrPort(rest)
	if err != nil {
		a, err := netip.ParseAddr(strings.Trim(rest, "[]"))
		if err != nil {
			return nil, fmt.Errorf("must be an address, with a port or without, or %s", resolvConf)
		}
		at = netip.AddrPortFrom(a, 53)
	}
	if at == c.own {
		return nil, fmt.Errorf("is this server itself")
	}
	return []string{at.String()}, nil
}

func (c *compiler) forwardOption(f *forward, o *directive) (err error) {
	switch o.words[0] {
	case "except":
		f.except, err = zones(o, o.words[1:])
	case "policy":
		switch p := strings.Join(o.words[1:], " "); p {
		case "random", "round_robin", "sequential":
			f.policy = p
		default:
			return o.errorf("must be random, round_robin or sequential")
		}
	case "max_concurrent":
		n, wrong := strconv.Atoi(strings.Join(o.words[1:], " "))
		if wrong != nil || n < 0 {
			return o.errorf("must be a number")
		}
		if n > 0 {
			f.slots = make(chan struct{}, min(n, maxForwarded))
		}
	case "force_tcp":
		f.tcp = true
	case "prefer_udp", "expire", "max_fails", "health_check", "max_idle_conns", "max_age", "doh_method", "next", "failfast_all_unhealthy_upstreams":
		c.warn(o, "has no effect here")
	default:
		return o.errorf("is not supported here")
	}
	return err
}

// cache lets what is forwarded be remembered.
func (c *compiler) cache(b *block, d *directive) error {
	k := keeping{success: maxKept, denial: maxKept / 2, capacity: maxCached}
	args := d.words[1:]
	if len(args) > 0 {
		if n, err := strconv.Atoi(args[0]); err == nil {
			if n < 1 {
				return d.errorf("must be seconds, 1 at least")
			}
			k.success = min(time.Duration(n)*time.Second, maxKept)
			k.denial = min(k.success, k.denial)
			args = args[1:]
		}
	}
	var err error
	if k.zones, err = zones(d, args); err != nil {
		return err
	}
	for i := range d.body {
		o := &d.body[i]
		switch o.words[0] {
		case "success", "denial":
			ttl := &k.success
			if o.words[0] == "denial" {
				ttl = &k.denial
			}
			if err := capacity(o, &k.capacity, ttl); err != nil {
				return err
			}
		case "disable":
			for _, what := range o.words[1:] {
				switch what {
				case "success":
					k.success = 0
				case "denial":
					k.denial = 0
				default:
					return o.errorf("must be success or denial")
				}
			}
		case "prefetch", "serve_stale", "servfail", "keepttl":
			c.warn(o, "has no effect here")
		default:
			return o.errorf("is not supported here")
		}
	}
	for _, f := range b.forwards {
		f.keep = k
	}
	return nil
}

// capacity reads CAPACITY [TTL [MINTTL]].
func capacity(o *directive, most *int, ttl *time.Duration) error {
	for i, w := range o.words[1:] {
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 || i > 2 {
			return o.errorf("must be: %s CAPACITY [TTL [MINTTL]]", o.words[0])
		}
		switch i {
		case 0:
			*most = min(max(n, 1), maxCached)
		case 1:
			*ttl = min(time.Duration(n)*time.Second, maxKept)
		}
	}
	return nil
}
