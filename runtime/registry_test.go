package runtime_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	rtimages "proa/runtime/images"
)

// registry serves one image under any name, for reading. With a user it asks for
// name and password.
type registry struct {
	manifest       []byte
	digest         string
	blobs          map[string][]byte
	user, password string
}

// newRegistry starts a registry with a small image of its own in it, and returns
// it with host and port.
func newRegistry(t *testing.T, user, password string) (*registry, string) {
	t.Helper()
	var archive bytes.Buffer
	img := rtimages.Image{
		Name:   "proa.local/pulled:1",
		Files:  []rtimages.File{{Path: "/greeting", Mode: 0o644, Data: []byte(t.Name())}},
		Config: ocispec.ImageConfig{Cmd: []string{"/x"}},
	}
	digest, err := img.WriteArchive(&archive)
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{digest: digest.String(), blobs: map[string][]byte{}, user: user, password: password}
	tr := tar.NewReader(&archive)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.blobs["sha256:"+path.Base(hdr.Name)], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	r.manifest = r.blobs[r.digest]
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return r, strings.TrimPrefix(srv.URL, "http://")
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if u, p, _ := req.BasicAuth(); u != r.user || p != r.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	kind, ref := path.Base(path.Dir(req.URL.Path)), path.Base(req.URL.Path)
	switch {
	case req.URL.Path == "/v2/":
	case kind == "manifests" && (ref == "1" || ref == r.digest):
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", r.digest)
		http.ServeContent(w, req, "", zeroTime, bytes.NewReader(r.manifest))
	case kind == "blobs" && r.blobs[ref] != nil:
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, req, "", zeroTime, bytes.NewReader(r.blobs[ref]))
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": "MANIFEST_UNKNOWN"}}})
	}
}
