package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer is one layer in the making. Paths have no leading slash. The first error
// is kept, and returned by done.
type layer struct {
	buf  bytes.Buffer
	tar  *tar.Writer
	dirs map[string]bool
	err  error
}

func newLayer() *layer {
	l := &layer{dirs: map[string]bool{}}
	l.tar = tar.NewWriter(&l.buf)
	return l
}

func (l *layer) add(h *tar.Header, body io.Reader) {
	if l.err != nil {
		return
	}
	if h.Typeflag == tar.TypeDir {
		if l.dirs[h.Name] {
			return
		}
		l.dirs[h.Name] = true
	}
	if l.err = l.tar.WriteHeader(h); l.err == nil && body != nil {
		_, l.err = io.Copy(l.tar, body)
	}
	if l.err != nil {
		l.err = fmt.Errorf("%s: %w", h.Name, l.err)
	}
}

func (l *layer) dir(name string, mode int64) {
	l.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (l *layer) text(name, content string) {
	l.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, strings.NewReader(content))
}

func (l *layer) link(name, target string) {
	l.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// file copies a file of this machine.
func (l *layer) file(name, source string, mode int64) {
	if l.err != nil {
		return
	}
	f, err := os.Open(source)
	if err != nil {
		l.err = err
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		l.err = err
		return
	}
	l.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size()}, f)
}

// tree copies the regular files of a directory.
func (l *layer) tree(name string, source fs.FS) {
	entries, err := fs.ReadDir(source, ".")
	if err != nil {
		l.err = err
		return
	}
	for _, e := range entries {
		data, err := fs.ReadFile(source, e.Name())
		if err != nil {
			l.err = err
			return
		}
		l.text(path.Join(name, e.Name()), string(data))
	}
}

// unneeded are the parts of packages that nobody reads in a container.
var unneeded = []string{"usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/lintian/", "usr/share/bash-completion/", "usr/share/bug/"}

// packages unpacks Debian packages, of which no script is run.
func (l *layer) packages(debs []string) {
	for _, deb := range debs {
		if l.err != nil {
			return
		}
		out, err := exec.Command("dpkg-deb", "--fsys-tarfile", deb).Output()
		if err != nil {
			l.err = fmt.Errorf("unpack %s: %w", deb, err)
			return
		}
		l.unpack(tar.NewReader(bytes.NewReader(out)))
	}
}

func (l *layer) unpack(r *tar.Reader) {
	for l.err == nil {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			l.err = err
			return
		}
		h.Name = strings.TrimPrefix(h.Name, "./")
		if h.Typeflag == tar.TypeLink {
			h.Linkname = strings.TrimPrefix(h.Linkname, "./")
		}
		drop := h.Name == ""
		for _, p := range unneeded {
			drop = drop || strings.HasPrefix(h.Name, p)
		}
		if !drop {
			l.add(h, r)
		}
	}
}

func (l *layer) done() (v1.Layer, error) {
	if l.err == nil {
		l.err = l.tar.Close()
	}
	if l.err != nil {
		return nil, l.err
	}
	// Uncompressed: it is read once, by the machine that wrote it.
	return static.NewLayer(l.buf.Bytes(), types.OCIUncompressedLayer), nil
}
