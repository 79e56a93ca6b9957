package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func testImage(files ...File) Image {
	return Image{Name: "proa.local/test:1", Files: files, Config: ocispec.ImageConfig{Entrypoint: []string{"/x"}}}
}

// The same input gives the same bytes, in whatever order and at whatever time.
func TestWriteArchiveIsDeterministic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := filepath.Join(dir, "x")
	if err := os.WriteFile(src, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := File{Path: "/x", Mode: 0o755, Source: src}
	b := File{Path: "/d", Mode: fs.ModeDir | 0o755}
	c := File{Path: "/d/link", Mode: fs.ModeSymlink, Link: "../x"}
	var one, two bytes.Buffer
	d1, err := testImage(a, b, c).WriteArchive(&one)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(src, fixedTime, fixedTime); err != nil {
		t.Fatal(err)
	}
	d2, err := testImage(c, a, b).WriteArchive(&two)
	if err != nil {
		t.Fatal(err)
	}
	if d1 != d2 || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("digests %s and %s", d1, d2)
	}
	index, err := peekIndex(bytes.NewReader(one.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != d1 {
		t.Errorf("index: %+v", index)
	}
}

func TestLayer(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	err := writeLayer(&buf, []File{
		{Path: "/bin", Mode: fs.ModeDir | 0o755},
		{Path: "/bin/ls", Mode: fs.ModeSymlink, Link: "busybox"},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root")},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	})
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		name, link, data string
		typ              byte
		mode             int64
	}
	want := []entry{
		{"bin/", "", "", tar.TypeDir, 0o755},
		{"bin/ls", "busybox", "", tar.TypeSymlink, 0o777},
		{"etc/passwd", "", "root", tar.TypeReg, 0o644},
		{"tmp/", "", "", tar.TypeDir, 0o1777},
	}
	tr := tar.NewReader(&buf)
	for _, w := range want {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(tr)
		if got := (entry{h.Name, h.Linkname, string(data), h.Typeflag, h.Mode}); got != w {
			t.Errorf("got %+v, want %+v", got, w)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(epoch) {
			t.Errorf("%s: owner or time is not fixed: %+v", h.Name, h)
		}
	}
}

func TestWriteArchiveRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		img  Image
		want string
	}{
		{"no tag", Image{Name: "proa.local/x"}, "has no tag"},
		{"short name", Image{Name: "x:1"}, "image name"},
		{"relative path", testImage(File{Path: "x"}), "not absolute and clean"},
		{"path that climbs", testImage(File{Path: "/../x"}), "not absolute and clean"},
		{"root", testImage(File{Path: "/"}), "not absolute and clean"},
		{"twice", testImage(File{Path: "/x"}, File{Path: "/x"}), "there twice"},
		{"missing source", testImage(File{Path: "/x", Source: "/does/not/exist"}), "no such file"},
		{"empty link", testImage(File{Path: "/x", Mode: fs.ModeSymlink}), "needs a target"},
	} {
		if _, err := tt.img.WriteArchive(io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestDir(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "a"), 0o750),
		os.WriteFile(filepath.Join(root, "a", "f"), []byte("x"), 0o640),
		os.Symlink("f", filepath.Join(root, "a", "l")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := Dir(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Path+" "+f.Mode.String()+" "+f.Link)
	}
	want := "/a drwxr-x--- |/a/f -rw-r----- |/a/l Lrwxrwxrwx f"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestPeekIndexRefuses(t *testing.T) {
	t.Parallel()
	var other bytes.Buffer
	tw := tar.NewWriter(&other)
	for _, n := range []string{"manifest.json", "repositories", "index.json"} {
		if err := tw.WriteHeader(regular(n, 0o644, 0)); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	for name, r := range map[string]io.Reader{"other": &other, "empty": strings.NewReader(""), "text": strings.NewReader("hello")} {
		if _, err := peekIndex(r); !errors.Is(err, errNoIndex) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nginx":                "docker.io/library/nginx:latest",
		"nginx:1.27":           "docker.io/library/nginx:1.27",
		"me/app":               "docker.io/me/app:latest",
		"proa.local/hello:1":   "proa.local/hello:1",
		"localhost:5000/x:dev": "localhost:5000/x:dev",
		"UPPER":                "",
	} {
		got, err := Normalize(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}
