package cri

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// onDisk is an input whose root and volume are real.
func onDisk(t *testing.T) (in ContainerInput, vol string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	in = input()
	in.Node.Root, in.Node.PodLogs = t.TempDir(), t.TempDir()
	vol = t.TempDir()
	in.Volumes = map[string]Volume{"v": {Path: vol}}
	t.Cleanup(func() {
		dir := filepath.Join(PodDir(in.Node.Root, in.Pod.UID), "volume-subpaths")
		_ = filepath.WalkDir(dir, func(p string, _ os.DirEntry, _ error) error {
			for unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) == nil {
			}
			return nil
		})
	})
	return in, vol
}

func find(ms []*runtimeapi.Mount, path string) *runtimeapi.Mount {
	for _, m := range ms {
		if m.ContainerPath == path {
			return m
		}
	}
	return nil
}

func TestHostsFile(t *testing.T) {
	t.Parallel()
	in, _ := onDisk(t)
	in.Pod.Spec.Subdomain = "s"
	in.Pod.Spec.HostAliases = []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}}
	ms, err := Mounts(in)
	if err != nil {
		t.Fatal(err)
	}
	m := find(ms, "/etc/hosts")
	if m == nil || m.HostPath != filepath.Join(in.Node.Root, "pods/uid-1/etc-hosts") {
		t.Fatalf("%v", ms)
	}
	want := "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n" +
		"10.42.0.7\tweb-1.s.ns.svc.cluster.local\tweb-1\nfd42::7\tweb-1.s.ns.svc.cluster.local\tweb-1\n" +
		"\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
	if b, _ := os.ReadFile(m.HostPath); string(b) != want {
		t.Errorf("%s", b)
	}
	in.Pod.Spec.HostNetwork = true
	if _, err = Mounts(in); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(m.HostPath); !strings.HasPrefix(string(b), "# Kubernetes-managed hosts file (host network).\n") || !strings.HasSuffix(string(b), "1.2.3.4\ta\tb\n") {
		t.Errorf("%s", b)
	}
	// A container's own mount there wins.
	in.Container.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/etc/hosts"}}
	if ms, err = Mounts(in); err != nil || len(ms) != 1 {
		t.Errorf("%v %v", ms, err)
	}
}

func TestTerminationLogIsOnePerAttempt(t *testing.T) {
	t.Parallel()
	in, _ := onDisk(t)
	in.Container.TerminationMessagePath = "/dev/termination-log"
	var paths []string
	for _, attempt := range []int{0, 0, 1} {
		in.RestartCount = attempt
		ms, err := Mounts(in)
		if err != nil {
			t.Fatal(err)
		}
		p := find(ms, "/dev/termination-log").HostPath
		st, err := os.Stat(p)
		if err != nil || st.Size() != 0 || st.Mode().Perm() != 0o666 {
			t.Errorf("%v %v", st, err)
		}
		if err := os.WriteFile(p, []byte("bye"), 0); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	if paths[0] != paths[1] || paths[1] == paths[2] {
		t.Errorf("%v", paths)
	}
}

func TestSubPathIsTheVeryFile(t *testing.T) {
	t.Parallel()
	in, vol := onDisk(t)
	for _, d := range []string{"a/b", "real"} {
		if err := os.MkdirAll(filepath.Join(vol, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(vol, "a/f"), []byte("file"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vol, "real/x"), []byte("linked"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../real", filepath.Join(vol, "a/inside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(vol, 0o710); err != nil {
		t.Fatal(err)
	}
	in.Container.Env = []corev1.EnvVar{{Name: "D", Value: "a"}}
	in.Container.VolumeMounts = []corev1.VolumeMount{
		{Name: "v", MountPath: "/0", SubPath: "a/f"},
		{Name: "v", MountPath: "/1", SubPath: "a/inside"},
		{Name: "v", MountPath: "/2", SubPath: "new/deep"},
		{Name: "v", MountPath: "/3", SubPathExpr: "$(D)/b"},
	}
	// Twice: an agent that was killed prepares again.
	for range 2 {
		ms, err := volumeMounts(in)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range ms {
			if want := filepath.Join(in.Node.Root, "pods/uid-1/volume-subpaths/v/c", string(rune('0'+i))); m.HostPath != want {
				t.Errorf("%s, want %s", m.HostPath, want)
			}
		}
		if b, _ := os.ReadFile(ms[0].HostPath); string(b) != "file" {
			t.Errorf("%q", b)
		}
		if b, _ := os.ReadFile(ms[1].HostPath + "/x"); string(b) != "linked" {
			t.Errorf("a link that stays inside: %q", b)
		}
		if st, err := os.Stat(filepath.Join(vol, "new/deep")); err != nil || st.Mode().Perm() != 0o710 {
			t.Errorf("made: %v %v", st, err)
		}
		// The container swaps the directory for a link; what is mounted stays.
		os.RemoveAll(filepath.Join(vol, "new"))
		if err := os.Symlink("/etc", filepath.Join(vol, "new")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(ms[2].HostPath + "/passwd"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the mount follows the link: %v", err)
		}
		os.Remove(filepath.Join(vol, "new"))
	}
}

// CVE-2017-1002101: a link in a volume led a subPath out of it. CVE-2021-25741:
// so did a directory swapped for a link between check and mount.
func TestSubPathDoesNotLeaveItsVolume(t *testing.T) {
	t.Parallel()
	in, vol := onDisk(t)
	outside := t.TempDir()
	for name, to := range map[string]string{"abs": "/etc", "up": "../" + filepath.Base(outside), "self": "/proc/self/root/etc", "chain": "abs"} {
		if err := os.Symlink(to, filepath.Join(vol, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"abs", "abs/ssl", "up", "up/new", "self", "chain", "abs/proa-made-this"} {
		in.Container.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/m", SubPath: sub}}
		_, err := Mounts(in)
		var ce *ConfigError
		if !errors.As(err, &ce) || !strings.HasSuffix(err.Error(), `for volumeMount "v" of container "c"`) || strings.Contains(err.Error(), vol) {
			t.Errorf("%s: %v", sub, err)
		}
	}
	if _, err := os.Stat("/etc/proa-made-this"); err == nil {
		t.Error("made a directory outside")
	}
	if e, _ := os.ReadDir(outside); len(e) != 0 {
		t.Errorf("made %v outside", e)
	}
	// The race: swap a directory for a link all the while.
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d := filepath.Join(vol, "race")
		for {
			select {
			case <-stop:
				return
			default:
				os.Mkdir(d, 0o755)
				os.Remove(d)
				os.Symlink("/etc", d)
				os.Remove(d)
			}
		}
	}()
	in.Container.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/m", SubPath: "race"}}
	for range 300 {
		if ms, err := volumeMounts(in); err == nil {
			if _, err := os.Stat(ms[0].HostPath + "/passwd"); err == nil {
				t.Error("a subPath led to /etc")
				break
			}
		}
	}
	close(stop)
	<-done
}
