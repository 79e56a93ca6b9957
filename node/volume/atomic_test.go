package volume

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// shown is what a reader of the volume sees: files by path, links followed.
func shown(t interface{ Fatal(...any) }, dir string) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		real, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		_ = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			if !d.IsDir() {
				b, err := os.ReadFile(p)
				if err != nil {
					t.Fatal(err)
				}
				out[filepath.Join(e.Name(), strings.TrimPrefix(p, real))] = string(b)
			}
			return nil
		})
	}
	return out
}

// Whatever was there before, after a write a reader sees the payload and
// nothing else, and no more than one directory of data is kept.
func TestAtomicWritesShowExactlyThePayload(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		paths := rapid.SampledFrom([]string{"a", "b", "d/x", "d/y", "d/e/z", "f", "a.b"})
		for range rapid.IntRange(1, 5).Draw(rt, "writes") {
			p := payload{}
			for _, path := range rapid.SliceOfDistinct(paths, rapid.ID[string]).Draw(rt, "paths") {
				p[path] = file{data: []byte(rapid.SampledFrom([]string{"", "1", "22"}).Draw(rt, "data")), mode: 0o644}
			}
			before := shown(rt, dir)
			changed, err := writeAtomically(dir, p, nil, t0)
			if err != nil {
				rt.Fatal(err)
			}
			got := shown(rt, dir)
			if len(got) != len(p) {
				rt.Fatalf("%v shown for %v", got, p)
			}
			same := len(before) == len(p)
			for path, f := range p {
				if got[path] != string(f.data) {
					rt.Fatalf("%s is %q, want %q", path, got[path], f.data)
				}
				old, ok := before[path]
				same = same && ok && old == string(f.data)
			}
			if changed == same && len(before)+len(p) > 0 {
				rt.Fatalf("changed=%v from %v to %v", changed, before, p)
			}
			dirs := 0
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if e.IsDir() {
					dirs++
				}
			}
			if dirs > 1 {
				rt.Fatalf("%d data directories", dirs)
			}
		}
	})
}

// CVE-2017-1002102: a container that could write to such a volume planted
// links that the next write or its clean-up followed.
func TestAtomicWriterFollowsNoPlantedLink(t *testing.T) {
	t.Parallel()
	dir, victim := t.TempDir(), t.TempDir()
	if err := os.WriteFile(victim+"/kept", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"..data", "..data_tmp", "a", "..2026_01_02_03_04_05.1", "stale"} {
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		p := payload{"a": {data: []byte(fmt.Sprint(i)), mode: 0o600}, "sub/kept": {data: []byte("mine"), mode: 0o600}}
		if _, err := writeAtomically(dir, p, nil, t0); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(dir + "/a"); string(b) != fmt.Sprint(i) {
			t.Errorf("%q", b)
		}
		os.RemoveAll(dir + "/sub")
		if err := os.Symlink(victim, dir+"/sub"); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(victim)
	if b, _ := os.ReadFile(victim + "/kept"); len(entries) != 1 || string(b) != "x" {
		t.Errorf("%v %q", entries, b)
	}
	// Directories in place of the writer's links are replaced too.
	os.Remove(dir + "/..data")
	if err := os.MkdirAll(dir+"/..data/x", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := writeAtomically(dir, payload{"b": {mode: 0o600}}, nil, t0); err != nil {
		t.Fatal(err)
	}
}

func TestAtomicWriterRefusesPathsThatLeadOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{"", "/etc/x", "../x", "..", "..x", "a/../../x", "a/../..", strings.Repeat("x", 256), strings.Repeat("x/", 2100)} {
		if _, err := writeAtomically(dir, payload{path: {mode: 0o600}}, nil, t0); err == nil {
			t.Errorf("wrote %q", path)
		}
	}
}

func TestAFailedWriteLeavesTheOldContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := writeAtomically(dir, payload{"a": {data: []byte("old"), mode: 0o644}}, nil, t0); err != nil {
		t.Fatal(err)
	}
	fail := func(*os.File) error { return os.ErrPermission }
	if _, err := writeAtomically(dir, payload{"a": {data: []byte("new"), mode: 0o644}}, fail, t0); err == nil {
		t.Fatal("no error")
	}
	if got := shown(t, dir); got["a"] != "old" {
		t.Errorf("%v", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("left behind: %v", entries)
	}
}
