package runtime

import (
	"slices"
	"strings"
	"testing"

	"proa/runtime/internal/procs"
)

const mountinfo = `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory
31 22 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 22 0:27 /below /run/container/cgroup rw - cgroup2 cgroup2 rw
40 22 0:40 / /run/proa rw - tmpfs tmpfs rw
41 40 0:41 / /run/proa/a rw - overlay overlay rw
42 41 0:42 / /run/proa/a/with\040space rw - tmpfs shm rw
43 22 0:43 / /run/proa2 rw - tmpfs tmpfs rw
44 22 0:44 / /var/lib/proa/x rw - tmpfs tmpfs rw
short
`

func TestMountsBelow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dirs []string
		want string
	}{
		{[]string{"/run/proa"}, "/run/proa/a/with space,/run/proa/a"},
		{[]string{"/run/proa/", "/var/lib/proa"}, "/var/lib/proa/x,/run/proa/a/with space,/run/proa/a"},
		{[]string{"/run/pro"}, ""},
		{[]string{""}, ""},
	} {
		if got := strings.Join(mountsBelow(mountinfo, tt.dirs...), ","); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.dirs, got, tt.want)
		}
	}
}

func TestCgroupRoots(t *testing.T) {
	t.Parallel()
	want := []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"}
	if got := cgroupRoots(mountinfo); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A wrong setting must not remove the machine's own cgroups.
func TestCgroupDirsRefusesRoot(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, path := range []string{"", "/", ".", "..", "a/..", "/../.."} {
		if dirs, err := cgroupDirs([]string{root}, path); err == nil {
			t.Errorf("%q gave %v", path, dirs)
		}
	}
	if dirs, err := cgroupDirs([]string{root + "/x"}, "../../etc"); err != nil || len(dirs) > 0 {
		t.Errorf("a path that climbs gave %v, %v", dirs, err)
	}
}

func TestIsShim(t *testing.T) {
	t.Parallel()
	c := TeardownConfig{State: "/run/a", Socket: "/run/a.sock"}
	const shim = "/bin/containerd-shim-runc-v2"
	for name, tt := range map[string]struct {
		p    procs.Process
		want bool
	}{
		"in a bundle":     {procs.Process{Args: []string{shim, "-id", "x"}, Cwd: "/run/a/io.containerd.runtime.v2.task/k8s.io/x"}, true},
		"with our socket": {procs.Process{Args: []string{shim, "-address", "/run/a.sock"}}, true},
		"someone else's":  {procs.Process{Args: []string{shim, "-address", "/run/containerd/containerd.sock"}, Cwd: "/run/containerd/io.containerd.runtime.v2.task/moby/y"}, false},
		"similar path":    {procs.Process{Args: []string{shim}, Cwd: "/run/ab/io.containerd.runtime.v2.task/k8s.io/x"}, false},
		"another program": {procs.Process{Args: []string{"vi", "-address", "/run/a.sock"}, Cwd: "/run/a/io.containerd.runtime.v2.task/k8s.io/x"}, false},
		"kernel thread":   {procs.Process{}, false},
	} {
		if got := isShim(tt.p, c); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestIsRunc(t *testing.T) {
	t.Parallel()
	c := TeardownConfig{State: "/run/a"}
	for name, tt := range map[string]struct {
		args []string
		want bool
	}{
		"ours":            {[]string{"/opt/proa/runc", "--root", "/run/a/runc/k8s.io", "create", "x"}, true},
		"someone else's":  {[]string{"/usr/bin/runc", "--root", "/run/containerd/runc/moby", "create", "x"}, false},
		"without a root":  {[]string{"runc", "list"}, false},
		"cut":             {[]string{"runc", "--root"}, false},
		"another program": {[]string{"grep", "--root", "/run/a/runc/k8s.io"}, false},
		"kernel thread":   {nil, false},
	} {
		if got := isRunc(procs.Process{Args: tt.args}, c); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
