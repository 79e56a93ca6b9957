package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/runtime/images"
	"proa/runtime/runtimetest"
)

// dockerSave writes what docker save does, with one layer and the given tags.
func dockerSave(t *testing.T, tags string) []byte {
	t.Helper()
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	add := func(tw *tar.Writer, name string, data []byte) {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add(tw, "greeting", []byte("hello "+tags))
	tw.Close()
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	config := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}`,
		runtime.GOARCH, sum(layer.Bytes()))
	var out bytes.Buffer
	tw = tar.NewWriter(&out)
	add(tw, "layer.tar", layer.Bytes())
	add(tw, "config.json", config)
	add(tw, "manifest.json", fmt.Appendf(nil, `[{"Config":"config.json","RepoTags":%s,"Layers":["layer.tar"]}]`, tags))
	tw.Close()
	return out.Bytes()
}

func TestStore(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx := context.Background()
	store, err := images.Connect(env.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	status := func(name string) *runtimeapi.Image {
		t.Helper()
		st, err := conn.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: name}, false)
		if err != nil {
			t.Fatal(err)
		}
		return st.Image
	}

	t.Run("docker save", func(t *testing.T) {
		got, err := store.Import(ctx, bytes.NewReader(dockerSave(t, `["tool:2","me/tool:2"]`)), "")
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].Name != "docker.io/library/tool:2" || got[1].Name != "docker.io/me/tool:2" {
			t.Errorf("imported %+v", got)
		}
		if img := status("tool:2"); img == nil || len(img.RepoTags) != 2 {
			t.Errorf("CRI has %v", img)
		}
	})
	t.Run("no name", func(t *testing.T) {
		archive := dockerSave(t, "null")
		if _, err := store.Import(ctx, bytes.NewReader(archive), ""); !errors.Is(err, images.ErrNoName) {
			t.Errorf("without a name: %v", err)
		}
		got, err := store.Import(ctx, bytes.NewReader(archive), "named:3")
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Name != "docker.io/library/named:3" || status("named:3") == nil {
			t.Errorf("imported %+v", got)
		}
	})
	t.Run("garbage", func(t *testing.T) {
		for name, data := range map[string]string{"empty": "", "text": "this is not a tar archive", "truncated": string(dockerSave(t, `["t:1"]`)[:700])} {
			if _, err := store.Import(ctx, strings.NewReader(data), "x:1"); err == nil {
				t.Errorf("%s archive was imported", name)
			}
		}
	})
	t.Run("ensure", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a.tar")
		write := func(content string) {
			t.Helper()
			f, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			img := images.Image{
				Name:   "proa.local/ensured:1",
				Files:  []images.File{{Path: "/x", Mode: 0o755, Data: []byte(content)}},
				Config: ocispec.ImageConfig{Entrypoint: []string{"/x"}},
			}
			if _, err := img.WriteArchive(f); err != nil {
				t.Fatal(err)
			}
		}
		ids := map[string]bool{}
		for _, step := range []struct {
			content string
			want    bool
		}{{"one", true}, {"one", false}, {"two", true}, {"two", false}} {
			write(step.content)
			imported, err := store.Ensure(ctx, file)
			if err != nil {
				t.Fatal(err)
			}
			if imported != step.want {
				t.Errorf("%s: imported %t, want %t", step.content, imported, step.want)
			}
			ids[status("proa.local/ensured:1").Id] = true
		}
		if len(ids) != 2 {
			t.Errorf("the image had the IDs %v, want two", ids)
		}
	})
	t.Run("pause is pinned", func(t *testing.T) {
		if img := status("proa.local/pause:1"); img == nil || !img.Pinned {
			t.Errorf("pause image: %v", img)
		}
	})
}
