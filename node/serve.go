package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/util/cert"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"

	"proa/node/guard"
	"proa/node/server"
)

const headerTimeout = 10 * time.Second

// serverParts makes the agent's HTTPS API and its health endpoint.
func (a *Agent) serverParts() ([]part, error) {
	k := &a.cfg.Kubelet
	if !*k.EnableServer {
		return nil, nil
	}
	conf := server.Config{
		NodeName: a.cfg.NodeName, Agent: served{a}, Runtime: a.runtime, Images: a.images,
		Root: a.cfg.Root, PodLogs: k.PodLogsDir, Metrics: a.cfg.Metrics, StreamIdle: k.StreamingConnectionIdleTimeout.Duration, Log: a.log,
	}
	if ptr.Deref(k.EnableSystemLogHandler, true) {
		conf.SystemLogs = "/var/log"
	}
	if conf.Metrics == nil {
		conf.Metrics = handler(a.metrics.registry)
	}
	conf.Probes = handler(a.metrics.probes)
	var parts []part
	var err error
	if k.ServerTLSBootstrap && a.cfg.TLS == nil && k.TLSCertFile == "" && a.cfg.Client != nil {
		var p part
		if conf.TLS, p, err = a.bootstrapTLS(); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	} else if conf.TLS, err = a.tls(); err != nil {
		return nil, err
	}
	if err := trustClients(conf.TLS, k.Authentication.X509.ClientCAFile); err != nil {
		return nil, err
	}
	conf.Authenticate, conf.Authorize = a.guards(conf.TLS.ClientCAs)
	s, err := server.New(conf)
	if err != nil {
		return nil, err
	}
	listen := func(l net.Listener, address string, port int32, what string) (net.Listener, error) {
		if l != nil {
			return l, nil
		}
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
		if err != nil {
			return nil, fmt.Errorf("open the port of %s: %w", what, err)
		}
		return l, nil
	}
	api, err := listen(a.cfg.Listener, k.Address, k.Port, "the agent's API")
	if err != nil {
		return nil, err
	}
	parts = append(parts, part{"server", func(ctx context.Context) error { return s.Serve(ctx, api) }})
	if a.cfg.HealthListener != nil || *k.HealthzPort != 0 {
		health, err := listen(a.cfg.HealthListener, k.HealthzBindAddress, *k.HealthzPort, "the agent's health endpoint")
		if err != nil {
			_ = api.Close()
			return nil, err
		}
		parts = append(parts, part{"health", func(ctx context.Context) error { return s.ServeHealth(ctx, health) }})
	}
	return parts, nil
}

// tls finds the serving certificate: given, in files, or made by the agent
// itself, which suffices where clients do not verify it.
func (a *Agent) tls() (*tls.Config, error) {
	if a.cfg.TLS != nil {
		return a.cfg.TLS, nil
	}
	k := &a.cfg.Kubelet
	certFile, keyFile := k.TLSCertFile, k.TLSPrivateKeyFile
	if certFile == "" {
		dir := filepath.Join(a.cfg.Root, "pki")
		certFile, keyFile = filepath.Join(dir, "kubelet.crt"), filepath.Join(dir, "kubelet.key")
		if err := selfSigned(certFile, keyFile, a.cfg.Hostname, a.cfg.NodeIPs); err != nil {
			return nil, err
		}
	}
	files := &certFiles{cert: certFile, key: keyFile}
	if _, err := files.get(nil); err != nil {
		return nil, fmt.Errorf("read the serving certificate: %w", err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.get, ClientAuth: tls.RequestClientCert}
	return out, nil
}

// trustClients lets client certificates of a CA in.
func trustClients(conf *tls.Config, ca string) error {
	if ca == "" || conf.ClientCAs != nil {
		return nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("read the CA of clients: %w", err)
	}
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", ca)
	}
	return nil
}

// selfSigned makes a certificate unless there is one that is still good.
func selfSigned(certFile, keyFile, host string, ips []string) error {
	if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && pair.Leaf != nil && time.Until(pair.Leaf.NotAfter) > 0 && pair.Leaf.VerifyHostname(host) == nil {
		return nil
	}
	var addrs []net.IP
	for _, ip := range ips {
		addrs = append(addrs, net.ParseIP(ip))
	}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(host, addrs, nil)
	if err != nil {
		return fmt.Errorf("make a self-signed serving certificate: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, keyPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, certPEM, 0o644)
}

// certFiles is a certificate in files. It is read anew when its file has changed,
// so that a rotated certificate needs no restart.
type certFiles struct {
	cert, key string

	mu   sync.Mutex
	read time.Time // modification time of what was read
	pair *tls.Certificate
}

// get implements tls.Config.GetCertificate. While the files cannot be read, which
// happens in the middle of a rotation, the last good certificate goes on.
func (c *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && (c.pair == nil || !info.ModTime().Equal(c.read)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.pair, c.read = &pair, info.ModTime()
		}
	}
	if c.pair != nil {
		return c.pair, nil
	}
	return nil, err
}

// guards make authentication and authorization of the agent's API.
func (a *Agent) guards(clients *x509.CertPool) (authenticator.Request, authorizer.Authorizer) {
	k := &a.cfg.Kubelet
	conf := guard.Config{
		Client: a.cfg.Client, Tokens: *k.Authentication.Webhook.Enabled, Anonymous: *k.Authentication.Anonymous.Enabled,
		AllowAll: k.Authorization.Mode == kubeletconfig.KubeletAuthorizationModeAlwaysAllow,
		TokenTTL: k.Authentication.Webhook.CacheTTL.Duration,
		AllowTTL: k.Authorization.Webhook.CacheAuthorizedTTL.Duration,
		DenyTTL:  k.Authorization.Webhook.CacheUnauthorizedTTL.Duration,
	}
	if clients != nil {
		conf.Roots = func() *x509.CertPool { return clients }
	}
	g := guard.New(conf)
	authn, authz := a.cfg.Authenticate, a.cfg.Authorize
	if authn == nil {
		authn = g
	}
	if authz == nil {
		authz = g
	}
	return authn, authz
}
