package embedded

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Whatever is on the disk, only the containers of the sandboxes in question are found.
func TestNotedOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for id, state := range map[string]string{
		"ours":    `{"config":{"labels":["io.kubernetes.cri.sandbox-name=p","io.kubernetes.cri.sandbox-id=s1","bundle=/b"]}}`,
		"other":   `{"config":{"labels":["io.kubernetes.cri.sandbox-id=s2"]}}`,
		"prefix":  `{"config":{"labels":["io.kubernetes.cri.sandbox-id=s11"]}}`,
		"bare":    `{}`,
		"garbage": `{"config":`,
	} {
		if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, id, "state.json"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := notedOf(dir, map[string]bool{"s1": true})
	if err != nil {
		t.Fatal(err)
	}
	if ids := fmt.Sprint(slices.Sorted(maps.Keys(got))); ids != "[ours]" {
		t.Error(ids)
	}
}
