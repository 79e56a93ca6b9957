package resourcetest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"proa/resource"
)

// Checker runs the checks of this package. It can be used by parallel tests.
type Checker struct {
	// published is the folder in which k8s.io/api keeps an object of each kind
	// with every field set.
	published string
}

// NewChecker makes a checker.
func NewChecker(t *testing.T) *Checker {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/api").Output()
	if err != nil {
		t.Fatalf("find k8s.io/api: %v", err)
	}
	return &Checker{filepath.Join(strings.TrimSpace(string(out)), "testdata", "HEAD")}
}

// object is the object that k8s.io/api publishes of a kind, or nil where it
// has none.
func (c *Checker) object(t *testing.T, d *resource.Definition) resource.Object {
	t.Helper()
	group := d.Storage.Group
	if group == "" {
		group = "core"
	}
	text, err := os.ReadFile(filepath.Join(c.published, group+"."+d.Storage.Version+"."+d.Kind+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	o := d.New()
	if err := yaml.UnmarshalStrict(text, o); err != nil {
		t.Fatalf("%s: %v", d.GroupResource(), err)
	}
	return o
}
