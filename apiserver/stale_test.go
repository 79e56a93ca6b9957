package apiserver_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/apiserver/apitest"
	"proa/store"
	"proa/store/memory"
)

// lagging is a store whose watches deliver nothing more once held is closed.
type lagging struct {
	store.Store
	held chan struct{}
}

type laggingWatch struct {
	store.Watch
	held chan struct{}
}

func (l lagging) Watch(ctx context.Context, prefix string, from int64) (store.Watch, error) {
	w, err := l.Store.Watch(ctx, prefix, from)
	return laggingWatch{w, l.held}, err
}

func (w laggingWatch) Next(ctx context.Context) (store.Batch, error) {
	b, err := w.Watch.Next(ctx)
	select {
	case <-w.held:
		<-ctx.Done()
		return b, ctx.Err()
	default:
		return b, err
	}
}

// A write that changes nothing of what a lagging cache shows may undo what was
// written since. To answer it without looking at the store lost the write.
func TestWriteOverStaleCache(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Options{})
	t.Cleanup(func() { _ = m.Close() })
	held := make(chan struct{})
	behind := apitest.Start(t, apitest.WithStore(lagging{m, held}))
	ahead := apitest.Start(t, apitest.WithStore(m))
	ctx := t.Context()
	mine, theirs := behind.Admin.CoreV1().ConfigMaps("default"), ahead.Admin.CoreV1().ConfigMaps("default")
	if _, err := mine.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": "1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Both have seen it.
	for _, c := range []interface {
		Get(context.Context, string, metav1.GetOptions) (*corev1.ConfigMap, error)
	}{mine, theirs} {
		if _, err := c.Get(ctx, "a", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	close(held)
	if _, err := theirs.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"3"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"1"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := theirs.Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["k"] != "1" {
		t.Errorf("the acknowledged write is lost: %q", got.Data["k"])
	}
}
