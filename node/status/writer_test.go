package status_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"proa/node/status"
)

// written runs a writer on a client that holds the pod, and counts writes.
func written(t *testing.T, p *v1.Pod) (w *status.Writer, client *fake.Clientset, writes func() []string, stop func()) {
	client = fake.NewClientset(p)
	ctx, cancel := context.WithCancel(context.Background())
	w = status.NewWriter(client, slog.New(slog.NewTextHandler(t.Output(), nil)))
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	writes = func() (out []string) {
		for _, a := range client.Actions() {
			if a.GetVerb() != "get" {
				out = append(out, a.GetVerb())
			}
		}
		return out
	}
	return w, client, writes, func() { cancel(); wg.Wait() }
}

func TestWriterSendsTheNewestOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPod("Always", nil, "a")
		p.Status.Conditions = []v1.PodCondition{{Type: "x/y", Status: v1.ConditionTrue}}
		p.ResourceVersion = "1"
		w, client, writes, stop := written(t, p)
		defer stop()
		w.Base(p.UID, p)
		s := status.Generate(given(p, "a running"))
		w.Set(p.UID, s)
		synctest.Wait()
		w.Set(p.UID, s)
		synctest.Wait()
		if got := writes(); len(got) != 1 {
			t.Errorf("writes: %v", got)
		}
		got, err := client.CoreV1().Pods("ns").Get(t.Context(), "p", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.Phase != v1.PodRunning || len(got.Status.Conditions) != 6 {
			t.Errorf("status %+v", got.Status)
		}
		// The echo of the own write is no news.
		w.Base(p.UID, got)
		synctest.Wait()
		if got := writes(); len(got) != 1 {
			t.Errorf("writes after the echo: %v", got)
		}
		// Someone else's meddling is put right.
		bad := got.DeepCopy()
		bad.ResourceVersion, bad.Status.Phase = "5", v1.PodPending
		w.Base(p.UID, bad)
		synctest.Wait()
		if got := writes(); len(got) != 2 {
			t.Errorf("writes after meddling: %v", got)
		}
	})
}

func TestWriterRetriesAndFinalizes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPod("Always", nil, "a")
		p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: now}, []string{"x/y"}
		w, client, writes, stop := written(t, p)
		defer stop()
		fails := 3
		client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			if fails > 0 {
				fails--
				return true, nil, errors.New("the API server is away")
			}
			return false, nil, nil
		})
		w.Base(p.UID, p)
		in := given(p, "a exited 0")
		in.Stopped = true
		w.Set(p.UID, status.Generate(in))
		w.Finalize(p.UID)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := writes(); len(got) != 5 || got[4] != "delete" {
			t.Fatalf("writes: %v", got)
		}
		d := client.Actions()[len(client.Actions())-1].(clienttesting.DeleteAction).GetDeleteOptions()
		if *d.GracePeriodSeconds != 0 || *d.Preconditions.UID != types.UID("u") {
			t.Errorf("delete options %+v", d)
		}
	})
}

func TestPatchIsMinimal(t *testing.T) {
	t.Parallel()
	p := newPod("Always", nil, "a")
	s := status.Generate(given(p, "a running"))
	p.Status = s
	if patch, err := status.Patch(p, s); err != nil || patch != nil {
		t.Errorf("patch of nothing: %s %v", patch, err)
	}
	s.Message = "changed"
	patch, err := status.Patch(p, s)
	if err != nil || string(patch) != `{"metadata":{"uid":"u"},"status":{"message":"changed"}}` {
		t.Errorf("patch %s %v", patch, err)
	}
}
