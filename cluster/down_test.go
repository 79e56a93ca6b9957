package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// Without a node nothing of the machine is touched, and data stays unless it is
// purged.
func TestDownOfServer(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "config"))
	c := complete(t, func(c *Config) { c.DataDir = filepath.Join(c.DataDir, "d"); c.Node.Disabled = true })
	down := func(purge bool) {
		t.Helper()
		if was, err := Down(t.Context(), c, purge); was || err != nil {
			t.Fatalf("was %t, %v", was, err)
		}
	}
	down(false)
	if exists(t, c.DataDir) {
		t.Error("a cluster that never was has a data directory now")
	}
	for _, dir := range []string{c.PKIDir(), c.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	down(false)
	if !exists(t, c.PKIDir()) || exists(t, c.RunDir) {
		t.Error("down takes the data, or leaves what a boot would lose")
	}
	down(true)
	if exists(t, c.DataDir) {
		t.Error("purge leaves the data")
	}
}
