package pki

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
)

// memory is a Files that fails the write number failAt.
type memory struct {
	files  map[string][]byte
	writes int
	failAt int
}

var errFull = errors.New("no space left on device")

func (m *memory) Read(name string) ([]byte, error) {
	b, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (m *memory) Write(name string, data []byte, _ bool) error {
	m.writes++
	if m.writes == m.failAt {
		return errFull
	}
	m.files[name] = data
	return nil
}

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func open(t *testing.T, f Files, now time.Time) (*Authority, *clocktesting.FakeClock) {
	t.Helper()
	c := clocktesting.NewFakeClock(now)
	a, err := OpenFiles(f, c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func leaf(t *testing.T, a *Authority, s Spec) *Leaf {
	t.Helper()
	l, err := a.Leaf(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func verify(t *testing.T, a *Authority, l *Leaf, now time.Time, usage x509.ExtKeyUsage) {
	t.Helper()
	_, err := l.Certificate().Leaf.Verify(x509.VerifyOptions{Roots: a.Roots(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	m := &memory{files: map[string][]byte{}}
	a, _ := open(t, m, start())
	l := leaf(t, a, APIServer("10.43.0.1", "192.0.2.7", "cp.example"))
	verify(t, a, l, start(), x509.ExtKeyUsageServerAuth)
	for _, h := range []string{"192.0.2.7", "cp.example", "10.43.0.1", "kubernetes.default.svc", "localhost"} {
		if err := l.Certificate().Leaf.VerifyHostname(h); err != nil {
			t.Error(err)
		}
	}
	before := m.writes
	b, _ := open(t, m, start().Add(24*time.Hour))
	l2 := leaf(t, b, APIServer("10.43.0.1", "cp.example", "192.0.2.7"))
	if m.writes != before {
		t.Errorf("%d writes at the second start", m.writes-before)
	}
	if !l2.Certificate().Leaf.Equal(l.Certificate().Leaf) {
		t.Error("the certificate was replaced")
	}
	if keys, err := b.TokenKeys(); err != nil || len(keys) != 1 {
		t.Errorf("token keys: %d, %v", len(keys), err)
	}
}

func TestLeafIsMadeAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		later  time.Duration
		damage func(m *memory)
		spec   func(s *Spec)
	}{
		"expired":             {later: 2 * 365 * 24 * time.Hour},
		"about to expire":     {later: leafLifetime - 24*time.Hour},
		"clock went back":     {later: -48 * time.Hour},
		"certificate missing": {damage: func(m *memory) { delete(m.files, "apiserver.crt") }},
		"key missing":         {damage: func(m *memory) { delete(m.files, "apiserver.key") }},
		"certificate empty":   {damage: func(m *memory) { m.files["apiserver.crt"] = nil }},
		"key damaged":         {damage: func(m *memory) { m.files["apiserver.key"] = []byte("x") }},
		"key of another":      {damage: func(m *memory) { m.files["apiserver.key"] = m.files["sa.key"] }},
		"address changed":     {spec: func(s *Spec) { s.Hosts = append(s.Hosts, "198.51.100.1") }},
		"other group":         {spec: func(s *Spec) { s.Organization = []string{"x"} }},
		"former authority":    {damage: func(m *memory) { delete(m.files, "ca.crt"); delete(m.files, "ca.key") }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memory{files: map[string][]byte{}}
			a, _ := open(t, m, start())
			spec := APIServer("10.43.0.1")
			was := leaf(t, a, spec).Certificate().Leaf
			if test.damage != nil {
				test.damage(m)
			}
			if test.spec != nil {
				test.spec(&spec)
			}
			now := start().Add(test.later)
			b, _ := open(t, m, now)
			l := leaf(t, b, spec)
			if l.Certificate().Leaf.Equal(was) {
				t.Error("the old certificate is in use")
			}
			verify(t, b, l, now, x509.ExtKeyUsageServerAuth)
		})
	}
}

func TestRenewalWhileRunning(t *testing.T) {
	t.Parallel()
	m := &memory{files: map[string][]byte{}}
	a, c := open(t, m, start())
	l := leaf(t, a, Admin())
	was, replaced := l.Certificate().Leaf, l.Replaced()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.Run(ctx); close(done) }()
	for !c.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	c.Step(300 * 24 * time.Hour)
	<-replaced
	cancel()
	<-done
	if l.Certificate().Leaf.Equal(was) {
		t.Fatal("not renewed")
	}
	verify(t, a, l, c.Now(), x509.ExtKeyUsageClientAuth)
	// Nine years later the authority is renewed with its key, and leaves
	// verify both under the new certificate and the old.
	old := a.Roots()
	c.Step(8 * 365 * 24 * time.Hour)
	if wait := a.Renew(); wait <= 0 || wait > checkEvery {
		t.Errorf("next look in %v", wait)
	}
	if a.Roots() == old {
		t.Fatal("the authority was not renewed")
	}
	verify(t, a, l, c.Now(), x509.ExtKeyUsageClientAuth)
	if _, err := l.Certificate().Leaf.Verify(x509.VerifyOptions{Roots: old, CurrentTime: c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("under the former authority: %v", err)
	}
	// An authority that has expired while the machine was off does not stop a
	// start either.
	b, c2 := open(t, m, start().Add(30*365*24*time.Hour))
	verify(t, b, leaf(t, b, Admin()), c2.Now(), x509.ExtKeyUsageClientAuth)
}

// Every write of a first start fails once; the next start completes.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		m := &memory{files: map[string][]byte{}, failAt: n}
		run := func() error {
			a, err := OpenFiles(m, clocktesting.NewFakeClock(start()), rand.Reader)
			if err != nil {
				return err
			}
			_, err = a.Leaf(Admin())
			return err
		}
		if err := run(); err != nil && !errors.Is(err, errFull) {
			t.Fatalf("write %d: %v", n, err)
		}
		done := m.writes < n
		m.failAt = 0
		if err := run(); err != nil {
			t.Fatalf("start after failed write %d: %v", n, err)
		}
		a, _ := open(t, m, start())
		verify(t, a, leaf(t, a, Admin()), start(), x509.ExtKeyUsageClientAuth)
		if done {
			return
		}
	}
}

func TestDamagedAuthorityIsNotReplaced(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"ca.crt", "ca.key", "sa.key", "front-proxy-ca.key"} {
		m := &memory{files: map[string][]byte{}}
		open(t, m, start())
		m.files[file] = []byte("garbage")
		if _, err := OpenFiles(m, clocktesting.NewFakeClock(start()), rand.Reader); err == nil {
			t.Errorf("%s: no error", file)
		}
	}
}

func TestTLSOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := Open(dir, clocktesting.NewFakeClock(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	server := leaf(t, a, APIServer(""))
	ln, err := tls.Listen("tcp", "127.0.0.1:0", a.ServerTLS(server))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || r.TLS.PeerCertificates[0].Subject.CommonName != "system:node:n1" {
			t.Errorf("peer %v", r.TLS.PeerCertificates)
		}
	})}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: a.ClientTLS(leaf(t, a, Node("n1")))}}
	defer c.CloseIdleConnections()
	for range 2 {
		resp, err := c.Get("https://" + ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		c.CloseIdleConnections()
		if err := server.SetHosts("127.0.0.1", "other.example"); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := tls.Dial("tcp", ln.Addr().String(), a.ClientTLS(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname("other.example"); err != nil {
		t.Error(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, _ := d.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	a, c := open(t, &memory{files: map[string][]byte{}}, start())
	l := leaf(t, a, Admin())
	path := filepath.Join(t.TempDir(), "sub", "config")
	write := func() os.FileInfo {
		t.Helper()
		if err := l.Kubeconfig("proa", "https://127.0.0.1:6443").Write(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(info, err)
		}
		return info
	}
	first := write()
	if !os.SameFile(first, write()) {
		t.Error("an unchanged file was written again")
	}
	k, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u := k.AuthInfos["kubernetes-admin@proa"]
	if k.CurrentContext != "proa" || u == nil || len(k.Clusters["proa"].CertificateAuthorityData) == 0 {
		t.Errorf("wrote %+v", k)
	}
	c.Step(300 * 24 * time.Hour)
	a.Renew()
	if os.SameFile(first, write()) {
		t.Error("the renewed certificate was not written")
	}
}
