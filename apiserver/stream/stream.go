package stream

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"proa/apiserver/connect"
)

// Objects reads what a connection goes to, as the API has it now.
type Objects interface {
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	Node(ctx context.Context, name string) (*corev1.Node, error)
	Service(ctx context.Context, namespace, name string) (*corev1.Service, error)
	EndpointSlices(ctx context.Context, namespace, service string) ([]*discoveryv1.EndpointSlice, error)
}

// Config of the connections.
type Config struct {
	Objects Objects
	// NodeTLS is what the server shows to node agents and verifies them by.
	NodeTLS *tls.Config
	Log     *slog.Logger
}

// idle connections to node agents are kept for this long.
const idle = 90 * time.Second

// dialTimeout bounds the making of a connection.
const dialTimeout = 10 * time.Second

// Registry answers the streaming subresources of pods, and the proxies of
// pods, services and nodes.
func Registry(c Config) connect.Registry {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	s := &streams{
		objects: c.Objects,
		log:     c.Log,
		// HTTP/1.1 alone: an upgrade needs a connection of its own.
		node: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: http1(c.NodeTLS), TLSHandshakeTimeout: dialTimeout,
			IdleConnTimeout: idle, MaxIdleConnsPerHost: 8, DisableCompression: true,
		},
		// Pods and services speak what they like; their certificates are nobody's
		// that this server knows.
		pod: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, TLSHandshakeTimeout: dialTimeout,
			IdleConnTimeout: idle, MaxIdleConnsPerHost: 8, DisableCompression: true,
		},
	}
	return connect.Registry{
		{Resource: "pods", Subresource: "log"}:         {Options: logOptions, Stream: s.logs},
		{Resource: "pods", Subresource: "exec"}:        {Options: execOptions, Stream: s.exec},
		{Resource: "pods", Subresource: "attach"}:      {Options: attachOptions, Stream: s.attach},
		{Resource: "pods", Subresource: "portforward"}: {Options: portForwardOptions, Stream: s.portForward},
		{Resource: "pods", Subresource: "proxy"}:       {Options: podProxyOptions, Stream: s.proxyPod},
		{Resource: "services", Subresource: "proxy"}:   {Options: serviceProxyOptions, Stream: s.proxyService},
		{Resource: "nodes", Subresource: "proxy"}:      {Options: nodeProxyOptions, Stream: s.proxyNode},
	}
}

type streams struct {
	objects   Objects
	log       *slog.Logger
	node, pod *http.Transport
}

func http1(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}
