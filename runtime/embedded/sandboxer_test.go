package embedded

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/runtime/sandbox"
)

func podConfig(change func(*runtimeapi.PodSandboxConfig, *runtimeapi.NamespaceOption)) *runtimeapi.PodSandboxConfig {
	ns := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	pod := &runtimeapi.PodSandboxConfig{
		Hostname: "web",
		Linux:    &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: ns}},
	}
	if change != nil {
		change(pod, ns)
	}
	return pod
}

func TestSpecOf(t *testing.T) {
	t.Parallel()
	open := map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
	for _, tt := range []struct {
		name   string
		change func(*runtimeapi.PodSandboxConfig, *runtimeapi.NamespaceOption)
		want   sandbox.Spec
	}{
		{"plain", nil, sandbox.Spec{Root: "/r", Hostname: "web", Sysctls: open}},
		{"shared PIDs", func(_ *runtimeapi.PodSandboxConfig, ns *runtimeapi.NamespaceOption) {
			ns.Pid = runtimeapi.NamespaceMode_POD
		},
			sandbox.Spec{Root: "/r", Hostname: "web", SharePID: true, Sysctls: open}},
		{"host network", func(_ *runtimeapi.PodSandboxConfig, ns *runtimeapi.NamespaceOption) {
			ns.Network = runtimeapi.NamespaceMode_NODE
		}, sandbox.Spec{Root: "/r"}},
		{"host IPC", func(_ *runtimeapi.PodSandboxConfig, ns *runtimeapi.NamespaceOption) {
			ns.Ipc = runtimeapi.NamespaceMode_NODE
		},
			sandbox.Spec{Root: "/r", Hostname: "web", HostIPC: true, Sysctls: open}},
		{"own values", func(p *runtimeapi.PodSandboxConfig, _ *runtimeapi.NamespaceOption) {
			p.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "1024", "kernel.shmmax": "1"}
		}, sandbox.Spec{Root: "/r", Hostname: "web", Sysctls: map[string]string{
			"net.ipv4.ip_unprivileged_port_start": "1024", "net.ipv4.ping_group_range": "0 2147483647", "kernel.shmmax": "1",
		}}},
	} {
		pod := podConfig(tt.change)
		before := len(pod.Linux.Sysctls)
		if got := specOf(pod, "/r"); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
		if len(pod.Linux.Sysctls) != before {
			t.Errorf("%s: the pod's configuration was changed", tt.name)
		}
	}
}

func TestSuits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*runtimeapi.PodSandboxConfig, *runtimeapi.NamespaceOption)
		want   bool
	}{
		{"plain", nil, true},
		{"host user namespace, said", func(_ *runtimeapi.PodSandboxConfig, ns *runtimeapi.NamespaceOption) {
			ns.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_NODE}
		}, true},
		{"user namespace", func(_ *runtimeapi.PodSandboxConfig, ns *runtimeapi.NamespaceOption) {
			ns.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD}
		}, false},
		{"SELinux", func(p *runtimeapi.PodSandboxConfig, _ *runtimeapi.NamespaceOption) {
			p.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Type: "t"}
		}, false},
		{"not Linux", func(p *runtimeapi.PodSandboxConfig, _ *runtimeapi.NamespaceOption) { p.Linux = nil }, false},
	} {
		if got := suits(podConfig(tt.change)); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// Files and links come and go together; what belongs to nobody is found.
func TestSandboxDirs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newSandboxDirs(Config{Root: dir + "/root", State: dir + "/state"})
	// With the host's IPC there is no shared memory to mount.
	pod := podConfig(func(_ *runtimeapi.PodSandboxConfig, ns *runtimeapi.NamespaceOption) {
		ns.Ipc = runtimeapi.NamespaceMode_NODE
	})
	pod.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.0.0.1", "10.0.0.2"}}
	for _, id := range []string{"a", "b"} {
		if err := d.create(id, pod); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range d.links {
		got, err := os.ReadFile(filepath.Join(l, "a", "resolv.conf"))
		if err != nil || string(got) != "nameserver 10.0.0.1\nnameserver 10.0.0.2\n" {
			t.Errorf("through %s: %q, %v", l, got, err)
		}
	}
	// After a reboot State is empty, and links into it lead nowhere.
	if err := os.RemoveAll(filepath.Join(d.files, "b")); err != nil {
		t.Fatal(err)
	}
	if got := d.list(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("list: %v", got)
	}
	none := newShims(Config{State: dir, Logger: slog.New(slog.DiscardHandler)})
	s := &sandboxer{dirs: d, shims: none, light: &lightSandboxes{none, time.Now}, log: none.log}
	s.prune(t.Context(), map[string]bool{"a": true})
	if got := d.list(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after pruning: %v", got)
	}
	for range 2 {
		if err := d.remove("a"); err != nil {
			t.Error(err)
		}
	}
	if got := d.list(); len(got) > 0 {
		t.Errorf("after removal: %v", got)
	}
	// A directory that is not ours is not removed.
	theirs := filepath.Join(d.links[0], "c", "x")
	if err := os.MkdirAll(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.remove("c"); err == nil {
		t.Error("a directory of upstream's sandboxes was taken for a link")
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
}
