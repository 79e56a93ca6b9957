package runtimetest

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/network/cni"
	proaruntime "proa/runtime"
	"proa/runtime/cri"
	"proa/runtime/embedded"
	rtimages "proa/runtime/images"
)

// startTimeout bounds the start of a runtime, on a machine busy with others.
const startTimeout = 60 * time.Second

// Env is a running container runtime and what belongs to it.
type Env struct {
	// Runtime is nil in an Env made by New, until StartRuntime.
	Runtime *embedded.Runtime
	// Config is what the runtime was, or is to be, started with.
	Config embedded.Config
	// Network is the pod network, set up.
	Network cni.Config
	// CgroupParent is a cgroup of this test's own, for pods without a better
	// one. It is removed at the end.
	CgroupParent string
	// LogDir is for the logs of pods.
	LogDir string
	// Archives are Proa's images on disk.
	Archives []images.Archive

	imported bool
}

// Start starts a runtime with a pod network and Proa's images, and arranges for
// all of it to be removed at the test's end, running containers included.
func Start(t testing.TB) *Env {
	t.Helper()
	env := New(t)
	env.StartRuntime(t)
	return env
}

// New prepares directories, programs, archives and a pod network, and starts
// nothing: for tests whose runtime runs in another process.
func New(t testing.TB) *Env {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("containers need root")
	}
	bin := BinDir(t)
	// Not t.TempDir: socket addresses are short, and test names are not.
	dir, err := os.MkdirTemp("", "proa-rt")
	if err != nil {
		t.Fatal(err)
	}
	// The root of a user namespace is nobody here, and has to get to its files.
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	subnet := claimSubnet(t)
	name := filepath.Base(dir)
	env := &Env{
		Config: embedded.Config{
			Root:   filepath.Join(dir, "r"),
			State:  filepath.Join(dir, "s"),
			BinDir: bin,
			Logger: testLogger(t),
		},
		CgroupParent: "/" + name,
		LogDir:       filepath.Join(dir, "logs"),
	}
	env.Config.Socket = filepath.Join(env.Config.State, "containerd.sock")
	env.Config.CNIConfDir = filepath.Join(env.Config.State, "net.d")
	env.Network = cni.Config{
		Network:  name,
		Bridge:   fmt.Sprintf("prt%d", subnet.Addr().As4()[2]),
		PodCIDRs: []netip.Prefix{subnet},
		ConfDir:  env.Config.CNIConfDir,
		StateDir: filepath.Join(env.Config.State, "net"),
	}
	t.Cleanup(func() { env.tearDown(t, dir) })
	if err := embedded.PrepareState(env.Config.State); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := cni.Setup(ctx, env.Network); err != nil {
		t.Fatal(err)
	}
	if env.Archives, err = images.Build(ctx, images.Options{BinDir: bin, CacheDir: filepath.Join(bin, "images")}); err != nil {
		t.Fatal(err)
	}
	return env
}

// StartRuntime starts the runtime of e in this process, again if it was stopped,
// and imports Proa's images the first time.
func (e *Env) StartRuntime(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var err error
	if e.Runtime, err = embedded.Start(ctx, e.Config); err != nil {
		t.Fatal(err)
	}
	if err := e.Runtime.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if !e.imported {
		e.ImportImages(t)
		e.imported = true
	}
}

// ImportImages brings Proa's images into the runtime.
func (e *Env) ImportImages(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	store, err := rtimages.Connect(e.Config.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, a := range e.Archives {
		if _, err := store.Ensure(ctx, a.Path); err != nil {
			t.Fatal(err)
		}
	}
}

// Endpoint is the CRI endpoint.
func (e *Env) Endpoint() string { return "unix://" + e.Config.Socket }

// Connect opens a CRI connection that is closed at the test's end.
func (e *Env) Connect(t testing.TB) *cri.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := cri.Connect(ctx, cri.Config{Endpoint: e.Endpoint(), Logger: e.Config.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// SandboxConfig is a plain pod in a network namespace of its own.
func (e *Env) SandboxConfig(name string) *runtimeapi.PodSandboxConfig {
	return &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name + "-uid"},
		Hostname:     name,
		LogDirectory: filepath.Join(e.LogDir, name),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    e.CgroupParent,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: namespaces()},
		},
	}
}

// ContainerConfig is a container of such a pod. Without a command the image's
// own is run.
func (e *Env) ContainerConfig(name, image string, command ...string) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: image},
		Command:  command,
		LogPath:  name + ".log",
		Linux: &runtimeapi.LinuxContainerConfig{
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: namespaces()},
		},
	}
}

// namespaces are those of a pod that asks for nothing: a PID namespace per
// container, the others shared within the pod.
func namespaces() *runtimeapi.NamespaceOption {
	return &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
}

// claimSubnet takes one of 256 subnets for as long as the test runs, among all
// tests of the machine.
func claimSubnet(t testing.TB) netip.Prefix {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "proa-runtimetest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for n := range 256 {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("subnet-%d", n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			continue
		}
		t.Cleanup(func() { f.Close() })
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 199, byte(n), 0}), 24)
	}
	t.Fatal("all 256 test subnets are in use")
	return netip.Prefix{}
}

// testLogger writes to the test's log, warnings and worse.
func testLogger(t testing.TB) *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("PROA_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: level}))
}

// testWriter tolerates lines that come after the test's end, from goroutines of
// containerd that nothing can wait for.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (n int, err error) {
	defer func() {
		if recover() != nil {
			n, err = len(p), nil
		}
	}()
	w.t.Logf("%s", p)
	return len(p), nil
}

// tearDown removes everything, whether the runtime is running or was killed.
func (e *Env) tearDown(t testing.TB, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if e.Runtime != nil {
		e.Runtime.Stop()
	}
	if err := cni.Teardown(ctx, e.Network); err != nil {
		t.Error(err)
	}
	if err := proaruntime.Teardown(ctx, e.TeardownConfig()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// TeardownConfig is that of a complete removal.
func (e *Env) TeardownConfig() proaruntime.TeardownConfig {
	return proaruntime.TeardownConfig{
		Root: e.Config.Root, State: e.Config.State, Socket: e.Config.Socket,
		CgroupParents: []string{e.CgroupParent},
		Purge:         true,
		Logger:        e.Config.Logger,
	}
}
