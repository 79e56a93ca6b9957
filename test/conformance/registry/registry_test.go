package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What was packed into an archive can be pulled by a client of registries.
func TestPull(t *testing.T) {
	t.Parallel()
	archive := filepath.Join(t.TempDir(), "images.tar")
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("one"), types.OCIUncompressedLayer), static.NewLayer([]byte("two"), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("registry.example/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.MultiWriteToFile(archive, map[name.Tag]v1.Image{tag: img}); err != nil {
		t.Fatal(err)
	}
	h, err := Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	get := func(method, path string, code int) (string, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != code {
			t.Fatalf("%s %s: %s, %v", method, path, resp.Status, err)
		}
		return string(body), resp.Header.Get("Docker-Content-Digest")
	}
	get("GET", "/v2/", 200)
	_, digest := get("HEAD", "/v2/team/app/manifests/1", 200)
	raw, _ := get("GET", "/v2/team/app/manifests/"+digest, 200)
	if got, _, err := v1.SHA256(strings.NewReader(raw)); err != nil || got.String() != digest {
		t.Errorf("the manifest's digest is %v, not %s", got, digest)
	}
	manifest, err := v1.ParseManifest(strings.NewReader(raw))
	if err != nil || len(manifest.Layers) != 2 {
		t.Fatalf("manifest %s, %v", raw, err)
	}
	for i, want := range []string{"one", "two"} {
		l := manifest.Layers[i]
		got, _ := get("GET", "/v2/team/app/blobs/"+l.Digest.String(), 200)
		if hash, size, err := v1.SHA256(strings.NewReader(got)); err != nil || got != want || hash != l.Digest || size != l.Size {
			t.Errorf("layer %d: %q, %v", i, got, err)
		}
	}
	if config, _ := get("GET", "/v2/team/app/blobs/"+manifest.Config.Digest.String(), 200); !strings.Contains(config, "diff_ids") {
		t.Errorf("configuration %s", config)
	}
	get("GET", "/v2/team/other/manifests/1", 404)
	get("GET", "/v2/team/app/blobs/sha256:0", 404)
	get("PUT", "/v2/team/app/manifests/1", 404)
}
