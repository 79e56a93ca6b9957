package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// Spec says what a leaf certificate is for.
type Spec struct {
	// File is the path of the certificate in the directory, without ".crt".
	File         string
	CommonName   string
	Organization []string
	// Hosts are DNS names and IP addresses that a server is reached by.
	Hosts []string
	// Server and Client are what the certificate may be used as.
	Server, Client bool
	// FrontProxy: issued by the authority of front proxies.
	FrontProxy bool
}

// APIServer is the serving certificate of an API server, reached by the given
// names and addresses beside those that are always there.
func APIServer(serviceIP string, hosts ...string) Spec {
	all := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"localhost", "127.0.0.1", "::1",
	}
	if serviceIP != "" {
		all = append(all, serviceIP)
	}
	return Spec{File: "apiserver", CommonName: "kube-apiserver", Hosts: append(all, hosts...), Server: true}
}

// KubeletClient is what an API server shows to kubelets.
func KubeletClient() Spec {
	return Spec{File: "apiserver-kubelet-client", CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}, Client: true}
}

// FrontProxyClient is what an API server shows to the servers that it
// aggregates.
func FrontProxyClient() Spec {
	return Spec{File: "front-proxy-client", CommonName: "front-proxy-client", Client: true, FrontProxy: true}
}

// Admin is the operator's certificate. It is not bound to RBAC.
func Admin() Spec {
	return Spec{File: "clients/admin", CommonName: "kubernetes-admin", Organization: []string{"system:masters"}, Client: true}
}

// ControllerManager is the client certificate of the controllers.
func ControllerManager() Spec {
	return Spec{File: "clients/controller-manager", CommonName: "system:kube-controller-manager", Client: true}
}

// Scheduler is the client certificate of the scheduler.
func Scheduler() Spec {
	return Spec{File: "clients/scheduler", CommonName: "system:kube-scheduler", Client: true}
}

// Proxy is the client certificate of the service proxy.
func Proxy() Spec {
	return Spec{File: "clients/proxy", CommonName: "system:kube-proxy", Client: true}
}

// Node is the client certificate of the node agent of a node.
func Node(name string) Spec {
	return Spec{File: "clients/node-" + name, CommonName: "system:node:" + name, Organization: []string{"system:nodes"}, Client: true}
}

// NodeServer is the serving certificate of the node agent of a node.
func NodeServer(name string, hosts ...string) Spec {
	return Spec{
		File: "kubelet-" + name, CommonName: "system:node:" + name, Organization: []string{"system:nodes"},
		Hosts: append([]string{name}, hosts...), Server: true,
	}
}

// Leaf is a certificate with its key, kept valid by its Authority. Safe for
// concurrent use.
type Leaf struct {
	authority *Authority
	spec      Spec // guarded by Authority.mu
	state     atomic.Pointer[leafState]
}

type leafState struct {
	tls       *tls.Certificate
	cert, key []byte
	replaced  chan struct{}
}

// Leaf returns the certificate of a spec: the one in the directory where it is
// good, a new one otherwise. Asked again with other hosts, it issues another
// and the former Leaf shows that too.
func (a *Authority) Leaf(spec Spec) (*Leaf, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.leaves[spec.File]
	if l == nil {
		l = &Leaf{authority: a, spec: spec}
		l.load()
	}
	l.spec = spec
	if s := l.state.Load(); s == nil || !a.good(spec, s.tls.Leaf) {
		if err := l.issue(a.clock.Now()); err != nil {
			if s := l.state.Load(); s == nil || !a.good(spec, s.tls.Leaf) {
				return nil, err
			}
			slog.Warn("pki: a certificate could not be kept and lives in memory only", "file", spec.File, "err", err)
		}
	}
	a.leaves[spec.File] = l
	return l, nil
}

// load takes what is in the directory, if it is a pair at all. Whether it is
// any good is for the caller to judge; what cannot be read is issued again.
func (l *Leaf) load() {
	f := l.authority.files
	cert, err := f.Read(l.spec.File + ".crt")
	if err != nil {
		return
	}
	key, err := f.Read(l.spec.File + ".key")
	if err != nil {
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil || pair.Leaf == nil {
		return
	}
	l.state.Store(&leafState{tls: &pair, cert: cert, key: key, replaced: make(chan struct{})})
}

// good reports whether a certificate serves a spec and will for a while.
func (a *Authority) good(spec Spec, c *x509.Certificate) bool {
	ca := a.authorityOf(spec)
	now := a.clock.Now()
	if due(c, now) || c.CheckSignatureFrom(ca.state.Load().cert) != nil {
		return false
	}
	names, ips := splitHosts(spec.Hosts)
	usages := spec.usages()
	return c.Subject.CommonName == spec.CommonName &&
		sameSet(c.Subject.Organization, spec.Organization) &&
		sameSet(c.DNSNames, names) &&
		sameSet(ipStrings(c.IPAddresses), ipStrings(ips)) &&
		slices.Equal(c.ExtKeyUsage, usages)
}

func (a *Authority) authorityOf(spec Spec) *authority {
	if spec.FrontProxy {
		return &a.front
	}
	return &a.ca
}

func (s Spec) usages() []x509.ExtKeyUsage {
	var u []x509.ExtKeyUsage
	if s.Server {
		u = append(u, x509.ExtKeyUsageServerAuth)
	}
	if s.Client {
		u = append(u, x509.ExtKeyUsageClientAuth)
	}
	return u
}

// issue makes a new key and certificate and shows them from now on. They are
// shown even where they cannot be written, so that a full disk does not end a
// cluster; the error says so. Authority.mu is held.
func (l *Leaf) issue(now time.Time) error {
	a := l.authority
	ca := a.authorityOf(l.spec)
	parent := ca.state.Load().cert
	key, err := newKey(a.random)
	if err != nil {
		return err
	}
	serial, err := a.serial()
	if err != nil {
		return err
	}
	names, ips := splitHosts(l.spec.Hosts)
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: l.spec.CommonName, Organization: l.spec.Organization},
		DNSNames:              names,
		IPAddresses:           ips,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLifetime),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           l.spec.usages(),
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(a.random, t, parent, key.Public(), ca.key)
	if err != nil {
		return fmt.Errorf("sign %s.crt: %w", l.spec.File, err)
	}
	cert := encodeCert(der)
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, keyPEM)
	if err != nil {
		return err
	}
	was := l.state.Swap(&leafState{tls: &pair, cert: cert, key: keyPEM, replaced: make(chan struct{})})
	if was != nil {
		close(was.replaced)
	}
	// Not synced: a leaf that a power cut takes away is issued again, and so is
	// one whose halves do not match.
	if err := a.files.Write(l.spec.File+".key", keyPEM, false); err != nil {
		return fmt.Errorf("write %s.key: %w", l.spec.File, err)
	}
	if err := a.files.Write(l.spec.File+".crt", cert, false); err != nil {
		return fmt.Errorf("write %s.crt: %w", l.spec.File, err)
	}
	return nil
}

// Certificate is the present certificate, for tls.Config.GetCertificate and
// the like. It must not be changed.
func (l *Leaf) Certificate() *tls.Certificate { return l.state.Load().tls }

// PEM is the present certificate and key in PEM form.
func (l *Leaf) PEM() (cert, key []byte) {
	s := l.state.Load()
	return s.cert, s.key
}

// Replaced is closed when another certificate takes the place of the present
// one.
func (l *Leaf) Replaced() <-chan struct{} { return l.state.Load().replaced }

// SetHosts issues the certificate anew if it does not name exactly these
// hosts, for a machine whose addresses change while it runs.
func (l *Leaf) SetHosts(hosts ...string) error {
	l.authority.mu.Lock()
	spec := l.spec
	l.authority.mu.Unlock()
	spec.Hosts = hosts
	_, err := l.authority.Leaf(spec)
	return err
}

// splitHosts separates addresses from names, and drops what occurs twice.
func splitHosts(hosts []string) (names []string, ips []net.IP) {
	seen := map[string]bool{}
	for _, h := range hosts {
		ip := net.ParseIP(h)
		if ip != nil {
			h = ip.String()
		}
		if h == "" || seen[h] {
			continue
		}
		seen[h] = true
		if ip == nil {
			names = append(names, h)
			continue
		}
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		ips = append(ips, ip)
	}
	return names, ips
}

func ipStrings(ips []net.IP) []string {
	var s []string
	for _, ip := range ips {
		s = append(s, ip.String())
	}
	return s
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// samePEM reports whether two PEM files say the same.
func samePEM(a, b []byte) bool { return bytes.Equal(bytes.TrimSpace(a), bytes.TrimSpace(b)) }
