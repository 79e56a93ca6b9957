package source_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"proa/node/pod"
	"proa/node/source"
)

func TestMirrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		static := source.Static{NodeName: "n", From: source.FromFile}
		make1 := func(image string) *v1.Pod {
			pods, err := static.Decode(manifest("web", image), "/web.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if err := static.Prepare(pods[0], "/web.yaml"); err != nil {
				t.Fatal(err)
			}
			return pods[0]
		}
		one, two := make1("one"), make1("two")
		client := fake.NewClientset()
		found := map[types.UID]*v1.Pod{}
		var node *v1.Node
		var mu sync.Mutex
		m := source.NewMirrors(client,
			func() *v1.Node { mu.Lock(); defer mu.Unlock(); return node },
			func(uid types.UID, p *v1.Pod) { mu.Lock(); defer mu.Unlock(); found[uid] = p }, quiet(t))
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = m.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		get := func() *v1.Pod {
			p, err := client.CoreV1().Pods("default").Get(ctx, "web-n", metav1.GetOptions{})
			if err != nil {
				return nil
			}
			return p
		}

		m.SetStatic(one)
		m.Synced()
		time.Sleep(time.Second)
		synctest.Wait()
		if get() != nil {
			t.Error("a mirror without a node to own it")
		}
		mu.Lock()
		node = &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "node-uid"}}
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		p := get()
		if p == nil || p.Annotations[pod.MirrorAnnotation] != string(one.UID) || p.OwnerReferences[0].UID != "node-uid" || found[one.UID] == nil {
			t.Fatalf("mirror %+v", p)
		}

		// Deleted by someone: it comes back.
		if err := client.CoreV1().Pods("default").Delete(ctx, "web-n", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		m.SetMirror(p, true)
		synctest.Wait()
		if get() == nil {
			t.Error("a deleted mirror does not come back")
		}
		// Another manifest, another mirror.
		m.SetStatic(two)
		m.RemoveStatic(one.UID)
		time.Sleep(time.Minute)
		synctest.Wait()
		if p := get(); p == nil || p.Annotations[pod.MirrorAnnotation] != string(two.UID) {
			t.Errorf("mirror of the new manifest: %+v", p)
		}
		m.RemoveStatic(two.UID)
		time.Sleep(time.Minute)
		synctest.Wait()
		if get() != nil {
			t.Error("the mirror outlives its pod")
		}
	})
}
