package images_test

import (
	"bytes"
	"context"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/runtime/images"
	"proa/runtime/runtimetest"
)

// What was imported into one runtime is copied to another, once, by all its names.
func TestCopyImported(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	open := func() (*runtimetest.Env, *images.Store) {
		env := runtimetest.Start(t)
		store, err := images.Connect(env.Endpoint())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return env, store
	}
	_, from := open()
	env, to := open()
	conn := env.Connect(t)
	if _, err := from.Import(ctx, bytes.NewReader(dockerSave(t, `["tool:2","me/tool:2"]`)), ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := from.CopyImported(ctx, to); err != nil {
			t.Fatal(err)
		}
		st, err := conn.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: "me/tool:2"}, false)
		if err != nil {
			t.Fatal(err)
		}
		if st.Image == nil || len(st.Image.RepoTags) != 2 {
			t.Errorf("the copy is %v", st.Image)
		}
	}
}
