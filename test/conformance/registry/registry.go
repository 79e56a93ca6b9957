// Package registry serves the images of an archive as a container registry does,
// for tests that pull: read only, without authentication, straight from the file.
package registry

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Handler answers what a runtime asks to pull images. It is safe for concurrent
// use.
type Handler struct {
	// images by the repository, without the registry's name, and tag or digest.
	images map[string]v1.Image
	// blobs by digest: layers and configurations.
	blobs map[string]func() (io.ReadCloser, int64, error)
}

// Open serves the images of an archive whose layers are not compressed. The file
// must stay as long as the handler.
func Open(archive string) (*Handler, error) {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(archive) })
	if err != nil {
		return nil, fmt.Errorf("images of %s: %w", archive, err)
	}
	h := &Handler{images: map[string]v1.Image{}, blobs: map[string]func() (io.ReadCloser, int64, error){}}
	sizes := map[v1.Hash]int64{}
	for _, d := range manifest {
		for _, t := range d.RepoTags {
			if err := h.add(archive, t, sizes); err != nil {
				return nil, fmt.Errorf("image %s: %w", t, err)
			}
		}
	}
	return h, nil
}

func (h *Handler) add(archive, tagged string, sizes map[v1.Hash]int64) error {
	tag, err := name.NewTag(tagged)
	if err != nil {
		return err
	}
	packed, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		return err
	}
	layers, err := packed.Layers()
	if err != nil {
		return err
	}
	img := empty.Image
	for _, l := range layers {
		p, err := plain(l, sizes)
		if err != nil {
			return err
		}
		h.blobs[p.digest.String()] = func() (io.ReadCloser, int64, error) { r, err := p.Compressed(); return r, p.size, err }
		if img, err = mutate.AppendLayers(img, p); err != nil {
			return err
		}
	}
	config, err := packed.ConfigFile()
	if err != nil {
		return err
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	return h.publish(tag, img)
}

func (h *Handler) publish(tag name.Tag, img v1.Image) error {
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	config, err := img.ConfigName()
	if err != nil {
		return err
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	h.images[tag.RepositoryStr()+":"+tag.TagStr()], h.images[tag.RepositoryStr()+":"+digest.String()] = img, img
	h.blobs[config.String()] = func() (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader(string(raw))), int64(len(raw)), nil
	}
	return nil
}

// plainLayer is a layer that is sent as it lies in the archive.
type plainLayer struct {
	v1.Layer
	digest v1.Hash
	size   int64
}

// plain measures a layer, once for all images that have it.
func plain(l v1.Layer, sizes map[v1.Hash]int64) (*plainLayer, error) {
	digest, err := l.DiffID()
	if err != nil {
		return nil, err
	}
	p := &plainLayer{Layer: l, digest: digest, size: sizes[digest]}
	if p.size == 0 {
		r, err := l.Uncompressed()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		if p.size, err = io.Copy(io.Discard, r); err != nil {
			return nil, err
		}
		sizes[digest] = p.size
	}
	return p, nil
}

func (p *plainLayer) Digest() (v1.Hash, error)            { return p.digest, nil }
func (p *plainLayer) Size() (int64, error)                { return p.size, nil }
func (p *plainLayer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }
func (p *plainLayer) Compressed() (io.ReadCloser, error)  { return p.Uncompressed() }

// ServeHTTP answers /v2/, /v2/REPOSITORY/manifests/REFERENCE and
// /v2/REPOSITORY/blobs/DIGEST.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	if rest == "" {
		return
	}
	if repository, reference, ok := strings.Cut(rest, "/manifests/"); ok {
		h.manifest(w, r, repository+":"+reference)
		return
	}
	_, digest, _ := strings.Cut(rest, "/blobs/")
	h.blob(w, r, digest)
}

func (h *Handler) manifest(w http.ResponseWriter, r *http.Request, key string) {
	img, ok := h.images[key]
	if !ok {
		http.NotFound(w, r)
		return
	}
	raw, err := img.RawManifest()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// Neither can fail where the manifest could be made.
	digest, _ := img.Digest()
	mediaType, _ := img.MediaType()
	w.Header().Set("Docker-Content-Digest", digest.String())
	send(w, r, string(mediaType), int64(len(raw)), strings.NewReader(string(raw)))
}

func (h *Handler) blob(w http.ResponseWriter, r *http.Request, digest string) {
	get, ok := h.blobs[digest]
	if !ok {
		http.NotFound(w, r)
		return
	}
	body, size, err := get()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer body.Close()
	w.Header().Set("Docker-Content-Digest", digest)
	send(w, r, "application/octet-stream", size, body)
}

func send(w http.ResponseWriter, r *http.Request, mediaType string, size int64, body io.Reader) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.Copy(w, body); err != nil {
		log.Printf("registry: %s: %v", r.URL.Path, err)
	}
}
