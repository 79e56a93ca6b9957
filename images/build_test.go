package images

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rtimages "proa/runtime/images"
)

// fakePrograms makes files in place of the programs; busybox is a script.
func fakePrograms(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		PauseBinary: "pause", HelloBinary: "hello",
		"busybox": "#!/bin/sh\nprintf 'busybox\\nls\\nsh\\ntar\\n'\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Options{BinDir: dir, CacheDir: filepath.Join(dir, "cache"), Busybox: filepath.Join(dir, "busybox")}
}

func TestBuildOnlyWhatIsOld(t *testing.T) {
	t.Parallel()
	o := fakePrograms(t)
	ctx := context.Background()
	build := func() map[string]os.FileInfo {
		t.Helper()
		archives, err := Build(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		infos := map[string]os.FileInfo{}
		for _, a := range archives {
			if infos[a.Name], err = os.Stat(a.Path); err != nil {
				t.Fatal(err)
			}
		}
		return infos
	}
	// File times may be as coarse as a clock tick: put the programs well before.
	past := time.Now().Add(-time.Hour)
	for _, f := range []string{filepath.Join(o.BinDir, PauseBinary), filepath.Join(o.BinDir, HelloBinary), o.Busybox} {
		if err := os.Chtimes(f, past, past); err != nil {
			t.Fatal(err)
		}
	}
	first, second := build(), build()
	for _, name := range []string{Pause, Hello1, Hello2} {
		if !os.SameFile(first[name], second[name]) {
			t.Errorf("%s was made again without need", name)
		}
	}
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(o.BinDir, HelloBinary), future, future); err != nil {
		t.Fatal(err)
	}
	third := build()
	if os.SameFile(second[Hello1], third[Hello1]) || !os.SameFile(second[Pause], third[Pause]) {
		t.Error("a new hello must make its images again, and no other")
	}
	left, _ := filepath.Glob(filepath.Join(o.CacheDir, ".image-*"))
	if len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestBuildSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	o := fakePrograms(t)
	if err := os.Remove(filepath.Join(o.BinDir, PauseBinary)); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), o); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v", err)
	}
}

// A machine without busybox, or with one that needs libraries, still has a node;
// its example image has no shell, until busybox comes.
func TestBuildWithoutBusybox(t *testing.T) {
	t.Parallel()
	o := fakePrograms(t)
	busybox := o.Busybox
	paths := map[string]bool{}
	for _, o.Busybox = range []string{filepath.Join(o.BinDir, "none"), busybox} {
		archives, err := Build(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		paths[archives[1].Path] = true
	}
	if len(paths) != 2 {
		t.Errorf("with and without a shell the image is in the same file: %v", paths)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]bool{busybox: true, filepath.Join(o.BinDir, "none"): false, "/bin/bash": false, self: true} {
		if program == self && os.Getenv("CGO_ENABLED") != "0" {
			continue // may be linked either way
		}
		if got := standsAlone(program); got != want {
			t.Errorf("%s stands alone: %t", program, got)
		}
	}
}

func TestHelloImage(t *testing.T) {
	t.Parallel()
	o := fakePrograms(t)
	img, err := helloImage(Hello2, "2", "hello", o.Busybox, func() ([]string, error) { return busyboxApplets(context.Background(), o.Busybox) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(img.Config.Env, "HELLO_VERSION=2") {
		t.Errorf("environment %v", img.Config.Env)
	}
	find := func(path string) (rtimages.File, bool) {
		i := slices.IndexFunc(img.Files, func(f rtimages.File) bool { return f.Path == path })
		if i < 0 {
			return rtimages.File{}, false
		}
		return img.Files[i], true
	}
	if f, ok := find("/bin/sh"); !ok || f.Link != "busybox" || f.Mode&fs.ModeSymlink == 0 {
		t.Errorf("/bin/sh is %+v", f)
	}
	if f, ok := find("/bin/busybox"); !ok || f.Source != o.Busybox || f.Link != "" {
		t.Errorf("/bin/busybox is %+v", f)
	}
}
