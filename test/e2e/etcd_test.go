package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
)

// TestExternalEtcd runs an API server over an etcd that is another process, and
// another API server, with nothing but the keys, over what the first has stored.
func TestExternalEtcd(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	u := c.typist(t, "default")
	endpoint := startEtcd(t, c)
	line := append(append([]string{"apiserver"}, c.flags...), "--etcd-servers", endpoint)

	first := c.start("first", line...)
	u.works("get", "--raw", "/readyz")
	u.kubectl("create", "configmap", "kept", "--from-literal=a=b")
	if _, err := os.Stat(filepath.Join(c.dir, "d", "etcd")); !os.IsNotExist(err) {
		t.Errorf("an etcd of its own was made: %v", err)
	}
	first.end(unix.SIGTERM)
	c.start("second", line...)
	u.works("get", "--raw", "/readyz")
	u.want([]string{"a: b"}, "get", "configmap", "kept", "-o", "yaml")
}

// startEtcd runs an etcd in this process, on unix sockets, which network
// namespaces do not part.
func startEtcd(t *testing.T, c *cluster) (endpoint string) {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel, cfg.LogOutputs = filepath.Join(c.dir, "external"), "error", []string{filepath.Join(c.dir, "external.log")}
	at := func(name string) []url.URL { return []url.URL{{Scheme: "unix", Path: filepath.Join(c.dir, name)}} }
	// What it advertises, nobody dials: it is alone.
	cfg.ListenClientUrls, cfg.ListenPeerUrls = at("client"), at("peer")
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(patience):
		t.Fatal("etcd does not start")
	}
	return cfg.ListenClientUrls[0].String()
}
