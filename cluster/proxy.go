package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/informers"

	"proa/network/proxy"
)

const proxyName = "kube-proxy"

// Ports on which a proxy that runs alone tells of itself, as upstream's.
const (
	ProxyHealthPort  = 10256
	ProxyMetricsPort = 10249
)

// ProxyAlone is a service proxy that runs by itself, against any API server.
type ProxyAlone struct {
	// Kubeconfig is the file that says how to reach the API server.
	Kubeconfig string
	// NodeName is the node that it works for. Default: the host name.
	NodeName string
	// ClusterCIDRs are the addresses of pods. Empty: nobody who uses a cluster
	// IP is masqueraded.
	ClusterCIDRs []string
	// HealthAddress and HealthPort answer load balancers and probes;
	// MetricsAddress and MetricsPort serve metrics. Port 0 serves none. Neither
	// asks who is there, as upstream's do not: metrics are on loopback.
	HealthAddress, MetricsAddress string
	HealthPort, MetricsPort       int
	// Cleanup removes the rules and ends.
	Cleanup bool
	Log     *slog.Logger
}

// Run programs the node until ctx ends. The rules stay.
func (a *ProxyAlone) Run(ctx context.Context) error {
	if a.Cleanup {
		return proxy.Cleanup(ctx, proxy.DefaultTable)
	}
	_, client, err := remote(a.Kubeconfig, proxyName)
	if err != nil {
		return err
	}
	c := proxy.Config{Informers: informers.NewSharedInformerFactory(client, 0), Log: a.Log}
	if c.NodeName, err = nodeNameOr(a.NodeName); err != nil {
		return err
	}
	for _, text := range a.ClusterCIDRs {
		cidr, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--cluster-cidr: %w", err)
		}
		c.ClusterCIDRs = append(c.ClusterCIDRs, cidr.Masked())
	}
	p, err := proxy.New(c)
	if err != nil {
		return err
	}
	parts := newParts(ctx)
	if err := a.start(parts, c, p); err != nil {
		parts.fail(err)
	}
	return parts.wait()
}

// nodeNameOr is the name of a node that was given none.
func nodeNameOr(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the machine has no host name; name the node with --hostname-override: %w", err)
	}
	return strings.ToLower(host), nil
}

func (a *ProxyAlone) start(parts *parts, c proxy.Config, p *proxy.Proxy) error {
	healthz := http.NewServeMux()
	healthz.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { proxyHealth(w, p) })
	healthz.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", partMetrics())
	metrics.HandleFunc("GET /proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nftables") })
	for _, s := range []struct {
		name, address string
		port          int
		handler       http.Handler
	}{
		{"health", a.HealthAddress, a.HealthPort, healthz}, {"metrics", a.MetricsAddress, a.MetricsPort, metrics},
	} {
		if s.port == 0 {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(s.address, strconv.Itoa(s.port)))
		if err != nil {
			return fmt.Errorf("port %d for %s cannot be opened: stop what uses it, or choose another: %w", s.port, s.name, err)
		}
		servePlain(parts, s.name, l, s.handler)
	}
	parts.run("service proxy", func(ctx context.Context) error {
		defer c.Informers.Shutdown()
		return p.Run(ctx)
	})
	return nil
}

// servePlain serves what everybody may see.
func servePlain(p *parts, name string, l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: endpointHeaderTimeout, MaxHeaderBytes: endpointHeaderBytes,
		ReadTimeout: endpointHeaderTimeout, WriteTimeout: time.Minute,
	}
	p.run(name, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { server.Close() })
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// proxyHealth says whether the node forwards to services.
func proxyHealth(w http.ResponseWriter, p *proxy.Proxy) {
	w.Header().Set("Content-Type", "application/json")
	now := time.Now().UTC().Format(time.RFC3339)
	select {
	case <-p.Ready():
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintf(w, `{"lastUpdated": %q,"currentTime": %q}`, now, now)
}
