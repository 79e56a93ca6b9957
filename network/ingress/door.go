package ingress

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"proa/network/edge"
)

// door is a port of the node that is open while there is something to serve.
type door struct {
	port int
	tls  bool
	// end closes it, and waits. Nil while it is closed.
	end func()
	// opened is the port that it has, which differs where any free one was asked for.
	opened int
	// complaint is why it could not be opened, as it was logged last.
	complaint string
}

// open listens, and serves in the background.
func (s *Ingress) open(d *door) error {
	if holder, err := s.holder(d.port); err != nil || holder != "" {
		if err == nil {
			err = fmt.Errorf("port %d of this node belongs to %s: give that another port, or Ingresses (--ingress-http-port, --ingress-https-port)", d.port, holder)
		}
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(s.config.Address, strconv.Itoa(d.port)))
	if err != nil {
		return fmt.Errorf("stop what uses the port, or choose another (--ingress-http-port, --ingress-https-port) or none (--ingress none): %w", err)
	}
	ctx, cancel := context.WithCancel(s.serving)
	done := make(chan struct{})
	d.opened = l.Addr().(*net.TCPAddr).Port
	d.end = func() { cancel(); <-done }
	plain, secure := l, net.Listener(nil)
	if d.tls {
		plain, secure = nil, l
	}
	go func() {
		defer close(done)
		defer cancel()
		if err := s.proxy.Serve(ctx, plain, secure); err != nil && ctx.Err() == nil {
			s.config.Log.Error("a port for Ingresses has ended; it is opened again when the server is restarted", "port", d.opened, "err", err)
		}
	}()
	s.config.Log.Info("Ingresses are served", "port", d.opened, "tls", d.tls)
	return nil
}

func (s *Ingress) shut(d *door) {
	d.end()
	d.end, d.opened = nil, 0
	s.config.Log.Info("there is no Ingress any more, and the port is closed", "port", d.port)
}

func (s *Ingress) close() {
	for _, d := range s.doors {
		if d.end != nil {
			d.end()
		}
	}
}

// holder is the load-balanced service that has a port of this node's addresses: what
// comes for it is forwarded before any listener sees it.
func (s *Ingress) holder(port int) (string, error) {
	node, err := s.nodes.Get(s.config.Node)
	if err != nil {
		return "", nil // not registered yet: it has no address that anybody could have been given
	}
	services, err := s.services.List(labels.Everything())
	if err != nil {
		return "", err
	}
	return holder(services, node, int32(port)), nil
}

func holder(services []*v1.Service, node *v1.Node, port int32) string {
	own := map[string]bool{}
	for _, a := range node.Status.Addresses {
		own[a.Address] = true
	}
	for _, s := range services {
		if s.Spec.Type != v1.ServiceTypeLoadBalancer {
			continue
		}
		has := false
		for _, p := range s.Spec.Ports {
			has = has || p.Port == port && p.Protocol == v1.ProtocolTCP
		}
		for _, in := range s.Status.LoadBalancer.Ingress {
			if has && own[in.IP] {
				return fmt.Sprintf("the service %s/%s of type LoadBalancer", s.Namespace, s.Name)
			}
		}
	}
	return ""
}

// announce writes on the node which ports are open.
func (s *Ingress) announce(ctx context.Context) error {
	var open []string
	for _, d := range s.doors {
		if d.end != nil {
			open = append(open, strconv.Itoa(d.opened))
		}
	}
	node, err := s.nodes.Get(s.config.Node)
	if apierrors.IsNotFound(err) {
		return nil // its registration is an event
	}
	if err != nil {
		return err
	}
	want := strings.Join(open, ",")
	if node.Annotations[Announcement] == want {
		return nil
	}
	var value any // null takes away
	if want != "" {
		value = want
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{Announcement: value}}})
	if err != nil {
		return err
	}
	_, err = s.config.Client.CoreV1().Nodes().Patch(ctx, s.config.Node, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// standard is the certificate for hosts that have none of their own.
func (s *Ingress) standard() (*tls.Certificate, error) {
	if s.config.Certificate.Name != "" {
		cert, err := s.certs.get(s.config.Certificate)
		if err == nil {
			return cert, nil
		}
		s.config.Log.Warn("the default certificate of Ingresses cannot be used; put one into the Secret (--ingress-default-certificate)",
			"secret", s.config.Certificate, "reason", err)
	}
	if s.standIn == nil {
		var err error
		if s.standIn, err = edge.StandIn(time.Now()); err != nil {
			return nil, err
		}
	}
	return s.standIn, nil
}
