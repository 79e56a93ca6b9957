package cluster

import (
	"log/slog"
	"os"
	"testing"

	"k8s.io/utils/clock"
)

// A cluster that is new has a file, also when its start is repeated; an older one
// and one over an external etcd go on without, until somebody writes one.
func TestOpenEncryption(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                   string
		old, external, expects bool
	}{
		{name: "new", expects: true},
		{name: "old", old: true},
		{name: "external", external: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &Config{DataDir: t.TempDir()}
			if c.external {
				config.Etcd.Servers = []string{"http://127.0.0.1:1"}
			}
			if c.old {
				if err := os.Mkdir(config.EtcdDir(), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				e, err := openEncryption(t.Context(), config, clock.RealClock{}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				e.Close()
			}
			if _, err := os.Stat(config.EncryptionFile()); (err == nil) != c.expects {
				t.Error(err)
			}
			// A file that is named must be there.
			config.API.Encryption.ConfigFile = config.DataDir + "/other.yaml"
			if _, err := openEncryption(t.Context(), config, clock.RealClock{}, slog.New(slog.DiscardHandler)); err == nil {
				t.Error("the named file is missing, and nobody says so")
			}
		})
	}
}
