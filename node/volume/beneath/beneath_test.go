package beneath

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func root(t *testing.T) (string, *os.File) {
	t.Helper()
	d := t.TempDir()
	f, err := OpenRoot(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return d, f
}

func TestOpenStaysBelow(t *testing.T) {
	t.Parallel()
	d, r := root(t)
	if err := os.MkdirAll(d+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"in": "a/b", "abs": "/etc", "up": "..", "magic": "/proc/self/root"} {
		if err := os.Symlink(to, filepath.Join(d, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, ok := range map[string]bool{"a/b": true, "in": true, "a/../a": true, "abs": false, "up": false, "magic": false, "..": false, "/etc": false, "a/../../x": false} {
		f, err := Open(r, path, unix.O_PATH, 0)
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			f.Close()
		}
	}
	if _, err := OpenNoLinks(r, "in", unix.O_PATH, 0); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link was followed: %v", err)
	}
}

func TestMkdirAllSetsTheModeAndStaysBelow(t *testing.T) {
	t.Parallel()
	d, r := root(t)
	f, err := MkdirAll(r, "x/y", 0o777|os.ModeSetgid)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if st, _ := os.Stat(d + "/x"); st.Mode().Perm() != 0o777 || st.Mode()&os.ModeSetgid == 0 {
		t.Errorf("%v", st.Mode())
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, d+"/out"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"out/x", "../x", "/x"} {
		if _, err := MkdirAll(r, p, 0o755); err == nil {
			t.Errorf("made %s", p)
		}
	}
	if e, _ := os.ReadDir(outside); len(e) != 0 {
		t.Errorf("%v", e)
	}
}

func TestRemoveAllFollowsNoLinkAndCrossesNoMount(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	d, r := root(t)
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/kept", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(d+"/tree/mounted", 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		if err := os.WriteFile(filepath.Join(d, "tree", "f"+string(rune('a'+i%26))+string(rune('a'+i/26))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, d+"/tree/link"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(outside, d+"/tree/mounted", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(d+"/tree/mounted", unix.MNT_DETACH) })
	if err := RemoveAll(r, "tree"); err == nil {
		t.Error("removed a mount")
	}
	if _, err := os.Stat(outside + "/kept"); err != nil {
		t.Fatalf("data behind a mount: %v", err)
	}
	if err := unix.Unmount(d+"/tree/mounted", 0); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAll(r, "tree"); err != nil {
		t.Error(err)
	}
	if err := RemoveAll(r, "tree"); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := os.Stat(outside + "/kept"); err != nil {
		t.Errorf("data behind a link: %v", err)
	}
	for _, bad := range []string{"", ".", "..", "a/b"} {
		if RemoveAll(r, bad) == nil {
			t.Errorf("removed %q", bad)
		}
	}
}
