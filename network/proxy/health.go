package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// health answers load balancers that ask whether this node has endpoints of a
// service: one port per service with an external traffic policy of Local.
type health struct {
	listen func(port uint16) (net.Listener, error)
	log    *slog.Logger

	mu    sync.Mutex
	ports map[uint16]*healthPort
}

type healthPort struct {
	server  *http.Server
	service types.NamespacedName
	ready   int // guarded by health.mu
}

func newHealth(log *slog.Logger) *health {
	return &health{log: log, ports: map[uint16]*healthPort{}, listen: func(port uint16) (net.Listener, error) {
		return net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
	}}
}

// set makes the ports what the plans ask for.
func (h *health) set(plans map[types.NamespacedName]Plan) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := map[uint16]bool{}
	var errs []error
	for name, p := range plans {
		if p.Health == 0 {
			continue
		}
		wanted[p.Health] = true
		port := h.ports[p.Health]
		if port == nil {
			l, err := h.listen(p.Health)
			if err != nil {
				errs = append(errs, fmt.Errorf("health check port %d of service %s: %w", p.Health, name, err))
				continue
			}
			port = h.serve(p.Health, l)
		}
		port.service, port.ready = name, p.Ready
	}
	for number, port := range h.ports {
		if !wanted[number] {
			_ = port.server.Close()
			delete(h.ports, number)
		}
	}
	return errors.Join(errs...)
}

// healthTimeout bounds a request, which has nothing to wait for.
const healthTimeout = 10 * time.Second

func (h *health) serve(number uint16, l net.Listener) *healthPort {
	p := &healthPort{}
	p.server = &http.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { h.answer(w, p) }),
		ReadTimeout: healthTimeout, WriteTimeout: healthTimeout,
	}
	h.ports[number] = p
	go func() {
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("a health check port of a service has ended", "port", number, "err", err)
		}
	}()
	return p
}

// answer is upstream's, which load balancers read.
func (h *health) answer(w http.ResponseWriter, p *healthPort) {
	h.mu.Lock()
	name, ready := p.service, p.ready
	h.mu.Unlock()
	var body struct {
		Service struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
		LocalEndpoints      int  `json:"localEndpoints"`
		ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
	}
	body.Service.Namespace, body.Service.Name = name.Namespace, name.Name
	body.LocalEndpoints, body.ServiceProxyHealthy = ready, true
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(ready))
	if ready == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// A client that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(body)
}
