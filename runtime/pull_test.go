package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/runtime/runtimetest"
)

var zeroTime time.Time

// Images come from registries: plain, with a password, through a mirror.
func TestPull(t *testing.T) {
	t.Parallel()
	env := runtimetest.New(t)
	env.Config.RegistryConfigPath = filepath.Join(env.LogDir, "certs.d")
	env.StartRuntime(t)
	conn := env.Connect(t)
	ctx := context.Background()
	status := func(ref string) *runtimeapi.Image {
		t.Helper()
		st, err := conn.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: ref}, false)
		if err != nil {
			t.Fatal(err)
		}
		return st.Image
	}

	t.Run("plain", func(t *testing.T) {
		reg, host := newRegistry(t, "", "")
		ref := host + "/team/app:1"
		id, err := conn.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: ref}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if img := status(ref); img == nil || img.Id != id || len(img.RepoDigests) != 1 || !strings.HasSuffix(img.RepoDigests[0], reg.digest) {
			t.Errorf("after the pull: %v", img)
		}
		if err := conn.Images.RemoveImage(ctx, &runtimeapi.ImageSpec{Image: ref}); err != nil {
			t.Error(err)
		}
		if img := status(ref); img != nil {
			t.Errorf("after the removal: %v", img)
		}
	})
	t.Run("missing", func(t *testing.T) {
		_, host := newRegistry(t, "", "")
		if _, err := conn.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: host + "/app:2"}, nil, nil); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("password", func(t *testing.T) {
		_, host := newRegistry(t, "me", "secret")
		spec := &runtimeapi.ImageSpec{Image: host + "/app:1"}
		if _, err := conn.Images.PullImage(ctx, spec, nil, nil); err == nil {
			t.Error("pulled without a password")
		}
		if _, err := conn.Images.PullImage(ctx, spec, &runtimeapi.AuthConfig{Username: "me", Password: "wrong-one"}, nil); err == nil {
			t.Error("pulled with a wrong password")
		} else if strings.Contains(err.Error(), "wrong-one") {
			t.Errorf("the error tells the password: %v", err)
		}
		if _, err := conn.Images.PullImage(ctx, spec, &runtimeapi.AuthConfig{Username: "me", Password: "secret"}, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("mirror", func(t *testing.T) {
		_, mirror := newRegistry(t, "", "")
		dir := filepath.Join(env.Config.RegistryConfigPath, "registry.example")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		hosts := fmt.Sprintf("server = \"https://registry.example\"\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", mirror)
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(hosts), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: "registry.example/team/app:1"}, nil, nil); err != nil {
			t.Error(err)
		}
	})
}
