package images

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	rtimages "proa/runtime/images"
)

// Names of the images.
const (
	Pause  = "proa.local/pause:1"
	Hello1 = "proa.local/hello:1"
	Hello2 = "proa.local/hello:2"
)

// Programs that make builds into BinDir.
const (
	PauseBinary = "pause"
	HelloBinary = "hello"
)

// DefaultBusybox is where Debian's busybox-static puts it.
const DefaultBusybox = "/bin/busybox"

// Options say where the programs are and where the archives go.
type Options struct {
	// BinDir holds pause and hello.
	BinDir string
	// CacheDir receives the archives. It is created.
	CacheDir string
	// Busybox is a statically linked busybox. Default: DefaultBusybox. Without
	// one, or with one that needs libraries, the hello images have no shell.
	Busybox string
}

// Archive is an image on disk.
type Archive struct {
	// Name is the image's full reference.
	Name string
	// Path of an OCI image-layout tar.
	Path string
}

// Build makes the archives that are missing or older than the programs in
// them, and returns all of them, pause first. It replaces files by renaming, so
// that it can run beside a reader or another Build.
func Build(ctx context.Context, o Options) ([]Archive, error) {
	if o.Busybox == "" {
		o.Busybox = DefaultBusybox
	}
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	pause := filepath.Join(o.BinDir, PauseBinary)
	hello := filepath.Join(o.BinDir, HelloBinary)
	helloInputs, helloLayout := []string{hello}, layout+"-noshell"
	applets := func() ([]string, error) { return nil, nil }
	if standsAlone(o.Busybox) {
		helloInputs, helloLayout = append(helloInputs, o.Busybox), layout
		applets = func() ([]string, error) { return busyboxApplets(ctx, o.Busybox) }
	}
	var out []Archive
	for _, im := range []struct {
		name, layout string
		inputs       []string
		make         func() (rtimages.Image, error)
	}{
		{Pause, layout, []string{pause}, func() (rtimages.Image, error) { return pauseImage(pause), nil }},
		{Hello1, helloLayout, helloInputs, func() (rtimages.Image, error) { return helloImage(Hello1, "1", hello, o.Busybox, applets) }},
		{Hello2, helloLayout, helloInputs, func() (rtimages.Image, error) { return helloImage(Hello2, "2", hello, o.Busybox, applets) }},
	} {
		a := Archive{Name: im.name, Path: filepath.Join(o.CacheDir, fileName(im.name, im.layout))}
		fresh, err := isFresh(a.Path, im.inputs)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", im.name, err)
		}
		if !fresh {
			img, err := im.make()
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", im.name, err)
			}
			if err := writeFile(a.Path, img); err != nil {
				return nil, err
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// layout is part of the archives' names, and changes when this file makes other
// images of the same programs.
const layout = "v2"

func fileName(image, layout string) string {
	return strings.NewReplacer("/", "_", ":", "_").Replace(image) + "." + layout + ".tar"
}

// isFresh tells whether target is there and newer than all inputs, which have
// to be there.
func isFresh(target string, inputs []string) (bool, error) {
	var newest time.Time
	for _, in := range inputs {
		info, err := os.Stat(in)
		if err != nil {
			return false, fmt.Errorf("program for the image missing (run make build): %w", err)
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	info, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return info.ModTime().After(newest), nil
}

func writeFile(path string, img rtimages.Image) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".image-*")
	if err != nil {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	defer func() {
		tmp.Close()
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if _, err := img.WriteArchive(tmp); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	return nil
}

func pauseImage(program string) rtimages.Image {
	return rtimages.Image{
		Name:  Pause,
		Files: []rtimages.File{{Path: "/pause", Mode: 0o755, Source: program}},
		Config: ocispec.ImageConfig{
			User:       "65535:65535",
			Entrypoint: []string{"/pause"},
			WorkingDir: "/",
		},
	}
}

// standsAlone tells whether a program can run where there is nothing else: it is
// there, and asks for no dynamic linker, as the busybox of Debian's package busybox
// does, other than that of busybox-static.
func standsAlone(program string) bool {
	if _, err := os.Stat(program); err != nil {
		return false
	}
	f, err := elf.Open(program)
	if err != nil {
		return true // a script, say; whoever named it will know
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// helloImage has the web server, busybox under the names of its applets if there
// are any, and the few files that a shell and the C library expect.
func helloImage(name, version, program, busybox string, applets func() ([]string, error)) (rtimages.Image, error) {
	links, err := applets()
	if err != nil {
		return rtimages.Image{}, err
	}
	files := []rtimages.File{
		{Path: "/hello", Mode: 0o755, Source: program},
		{Path: "/bin", Mode: fs.ModeDir | 0o755},
		{Path: "/etc", Mode: fs.ModeDir | 0o755},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{Path: "/root", Mode: fs.ModeDir | 0o700},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		// What is mounted over in every container. The runtime would make it in
		// each, which costs more than to mount.
		{Path: "/dev", Mode: fs.ModeDir | 0o755},
		{Path: "/proc", Mode: fs.ModeDir | 0o555},
		{Path: "/sys", Mode: fs.ModeDir | 0o555},
		{Path: "/etc/hostname", Mode: 0o644},
		{Path: "/etc/hosts", Mode: 0o644},
		{Path: "/etc/resolv.conf", Mode: 0o644},
		{Path: "/run", Mode: fs.ModeDir | 0o755},
		{Path: "/var", Mode: fs.ModeDir | 0o755},
		{Path: "/var/run", Mode: fs.ModeSymlink | 0o777, Link: "/run"},
	}
	if len(links) > 0 {
		files = append(files, rtimages.File{Path: "/bin/busybox", Mode: 0o755, Source: busybox})
	}
	for _, l := range links {
		if l != "busybox" {
			files = append(files, rtimages.File{Path: "/bin/" + l, Mode: fs.ModeSymlink | 0o777, Link: "busybox"})
		}
	}
	return rtimages.Image{
		Name:  name,
		Files: files,
		Config: ocispec.ImageConfig{
			Entrypoint:   []string{"/hello"},
			Env:          []string{"PATH=/bin", "HELLO_VERSION=" + version},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}},
			WorkingDir:   "/",
		},
	}, nil
}

// busyboxApplets asks busybox for its names.
func busyboxApplets(ctx context.Context, busybox string) ([]string, error) {
	out, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the applets of %s: %w", busybox, err)
	}
	var names []string
	for _, n := range strings.Fields(string(out)) {
		if strings.ContainsRune(n, '/') {
			return nil, fmt.Errorf("list the applets of %s: unexpected name %q", busybox, n)
		}
		names = append(names, n)
	}
	return names, nil
}
