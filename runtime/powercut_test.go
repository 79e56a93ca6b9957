package runtime_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/network/cni"
	proaruntime "proa/runtime"
	"proa/runtime/embedded"
	"proa/runtime/runtimetest"
)

// After a power cut that left the databases in pieces, images are there and pods
// start.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	child := env.StartChild(t)
	saved := filepath.Join(env.Config.Root, "checkpoint", "meta.db")
	// The checkpoint follows the import by a second; its file is the event.
	for range 600 {
		if info, err := os.Stat(saved); err == nil && info.ModTime().After(time.Now().Add(-time.Hour)) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	conn := env.Connect(t)
	sb, _ := runPod(t, env, conn, "before")
	child.Kill()

	// What a power cut does: processes, tmpfs and interfaces vanish, and of the
	// databases some pages were written and others not.
	ctx := context.Background()
	if err := cni.Teardown(ctx, env.Network); err != nil {
		t.Fatal(err)
	}
	conf := env.TeardownConfig()
	conf.Purge = false
	if err := proaruntime.Teardown(ctx, conf); err != nil {
		t.Fatal(err)
	}
	for _, db := range []string{"io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db"} {
		f, err := os.OpenFile(filepath.Join(env.Config.Root, db), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 3*4096), 4096); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := os.WriteFile(filepath.Join(env.Config.Root, "unsynced"), []byte("an-earlier-boot\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := embedded.PrepareState(env.Config.State); err != nil {
		t.Fatal(err)
	}
	if err := cni.Setup(ctx, env.Network); err != nil {
		t.Fatal(err)
	}
	env.StartChild(t)
	conn = env.Connect(t)
	for _, name := range []string{images.Pause, images.Hello1, images.Hello2} {
		if img, err := conn.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: name}, false); err != nil || img.Image == nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	if st, err := conn.Runtime.PodSandboxStatus(ctx, sb, false); err == nil && st.Status.State == runtimeapi.PodSandboxState_SANDBOX_READY {
		t.Error("a pod of before the power cut is ready")
	}
	runPod(t, env, conn, "after")
}
