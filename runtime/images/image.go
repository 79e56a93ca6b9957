package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	cimages "github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// File is an entry of an image: a directory, a link or a regular file, told
// apart by Mode.
type File struct {
	// Path in the image, absolute and clean.
	Path string
	// Mode has the permission and type bits; set-user-ID and sticky bits are
	// kept.
	Mode fs.FileMode
	// Source is a file of the host that is the content; with Source empty the
	// content is Data.
	Source string
	Data   []byte
	// Link is the target of a symbolic link.
	Link string
}

// Image is what is needed to make an image with one layer.
type Image struct {
	// Name is the full reference, such as proa.local/hello:1.
	Name   string
	Files  []File
	Config ocispec.ImageConfig
}

// Dir lists the files below a directory of the host, to be the files of an
// image. Anything but directories, regular files and symbolic links is an error.
func Dir(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := File{Path: "/" + filepath.ToSlash(rel), Mode: info.Mode()}
		switch {
		case info.IsDir():
		case info.Mode().IsRegular():
			f.Source = p
		case info.Mode()&fs.ModeSymlink != 0:
			if f.Link, err = os.Readlink(p); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: images hold directories, files and links, not %s", p, info.Mode().Type())
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read image files: %w", err)
	}
	return files, nil
}

// WriteArchive writes the image to w as an OCI image-layout tar for the
// architecture this program runs on, and returns the digest of its manifest.
// The index comes first, so that a reader learns what the archive holds from
// its first kilobytes. The content of Source files is read twice and has to
// stay the same meanwhile.
func (im Image) WriteArchive(w io.Writer) (digest.Digest, error) {
	name, err := reference.ParseNamed(im.Name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", im.Name, err)
	}
	tagged, ok := name.(reference.Tagged)
	if !ok {
		return "", fmt.Errorf("image name %q has no tag", im.Name)
	}
	files := slices.Clone(im.Files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })

	layer := newBlobCounter()
	if err := writeLayer(layer, files); err != nil {
		return "", fmt.Errorf("image %s: %w", im.Name, err)
	}
	layerDesc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: layer.digest(), Size: layer.size}

	config, configDesc, err := marshalBlob(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config:   im.Config,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerDesc.Digest}},
	})
	if err != nil {
		return "", err
	}
	manifest, manifestDesc, err := marshalBlob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    configDesc,
		Layers:    []ocispec.Descriptor{layerDesc},
	})
	if err != nil {
		return "", err
	}
	manifestDesc.Platform = &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	manifestDesc.Annotations = map[string]string{
		cimages.AnnotationImageName: im.Name,
		ocispec.AnnotationRefName:   tagged.Tag(),
	}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{manifestDesc},
	})
	if err != nil {
		return "", err
	}
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return "", err
	}

	tw := tar.NewWriter(w)
	blob := func(d ocispec.Descriptor) string {
		return path.Join(ocispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded())
	}
	for _, e := range []struct {
		name string
		data []byte
	}{
		{ocispec.ImageLayoutFile, layout},
		{ocispec.ImageIndexFile, index},
		{blob(manifestDesc), manifest},
		{blob(configDesc), config},
	} {
		if err := tw.WriteHeader(regular(e.name, 0o644, int64(len(e.data)))); err != nil {
			return "", err
		}
		if _, err := tw.Write(e.data); err != nil {
			return "", err
		}
	}
	if err := tw.WriteHeader(regular(blob(layerDesc), 0o644, layerDesc.Size)); err != nil {
		return "", err
	}
	if err := writeLayer(tw, files); err != nil {
		return "", fmt.Errorf("image %s: %w", im.Name, err)
	}
	if err := tw.Close(); err != nil {
		return "", fmt.Errorf("image %s: content changed while it was read: %w", im.Name, err)
	}
	return manifestDesc.Digest, nil
}

// writeLayer writes files, which are sorted, as a layer tar owned by root.
func writeLayer(w io.Writer, files []File) error {
	tw := tar.NewWriter(w)
	for i, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
			return fmt.Errorf("path %q is not absolute and clean", f.Path)
		}
		if i > 0 && files[i-1].Path == f.Path {
			return fmt.Errorf("path %s is there twice", f.Path)
		}
		if err := writeFile(tw, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return tw.Close()
}

func writeFile(tw *tar.Writer, f File) error {
	hdr := regular(strings.TrimPrefix(f.Path, "/"), unixMode(f.Mode), 0)
	switch {
	case f.Mode.IsDir():
		hdr.Typeflag, hdr.Name = tar.TypeDir, hdr.Name+"/"
		return tw.WriteHeader(hdr)
	case f.Mode&fs.ModeSymlink != 0:
		if f.Link == "" {
			return errors.New("a symbolic link needs a target")
		}
		hdr.Typeflag, hdr.Linkname, hdr.Mode = tar.TypeSymlink, f.Link, 0o777
		return tw.WriteHeader(hdr)
	case f.Source == "":
		hdr.Size = int64(len(f.Data))
		if err := tw.WriteHeader(hdr); err != nil {
			return err
		}
		_, err := tw.Write(f.Data)
		return err
	}
	src, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	hdr.Size = info.Size()
	if err := tw.WriteHeader(hdr); err != nil {
		return err
	}
	_, err = io.Copy(tw, src)
	return err
}

// regular is a header whose every field is fixed but the given ones.
func regular(name string, mode int64, size int64) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size,
		ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
	}
}

func unixMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

func marshalBlob(mediaType string, v any) ([]byte, ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	return b, ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}, nil
}

// blobCounter takes the digest and the size of what is written to it.
type blobCounter struct {
	h    hash.Hash
	size int64
}

func newBlobCounter() *blobCounter { return &blobCounter{h: sha256.New()} }

func (b *blobCounter) Write(p []byte) (int, error) {
	b.size += int64(len(p))
	return b.h.Write(p)
}

func (b *blobCounter) digest() digest.Digest { return digest.NewDigest(digest.SHA256, b.h) }

// errNoIndex means that an archive does not begin as WriteArchive's do.
var errNoIndex = errors.New("not an OCI image-layout archive that starts with its index")

// maxIndex bounds what peekIndex takes into memory, in bytes.
const maxIndex = 1 << 20

// peekIndex reads the index of an archive made by WriteArchive from its first
// entries.
func peekIndex(r io.Reader) (ocispec.Index, error) {
	var index ocispec.Index
	tr := tar.NewReader(r)
	for range 2 {
		hdr, err := tr.Next()
		if err != nil {
			return index, errNoIndex
		}
		if hdr.Name != ocispec.ImageIndexFile {
			continue
		}
		if hdr.Size > maxIndex {
			return index, errNoIndex
		}
		var buf bytes.Buffer
		if _, err := io.Copy(&buf, tr); err != nil {
			return index, err
		}
		if err := json.Unmarshal(buf.Bytes(), &index); err != nil {
			return index, fmt.Errorf("archive index: %w", err)
		}
		return index, nil
	}
	return index, errNoIndex
}
