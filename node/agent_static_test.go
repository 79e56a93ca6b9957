package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/node/cri"
)

// Without an API server static pods start, are replaced and end; when it answers,
// it shows what runs, which goes on.
func TestStaticPodsWithoutAPIServer(t *testing.T) {
	c := newCluster(t)
	c.stop()
	nobody, err := kubernetes.NewForConfig(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	c.client = nobody
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events := make(chan *runtimeapi.ContainerEventResponse)
	connected := make(chan struct{})
	go func() {
		defer close(events)
		_ = c.conn.Runtime.GetContainerEvents(ctx, events, func(runtimeapi.RuntimeService_GetContainerEventsClient) { close(connected) })
	}()
	<-connected
	// next is the container of the next event of a type about the pod's app.
	next := func(typ runtimeapi.ContainerEventType) string {
		t.Helper()
		for e := range events {
			for _, s := range e.ContainersStatuses {
				if e.ContainerEventType == typ && s.Id == e.ContainerId && s.Labels[cri.LabelContainerName] == "app" {
					return s.Id
				}
			}
		}
		t.Fatalf("no event %v", typ)
		return ""
	}
	manifest := filepath.Join(c.manifests(), "web.yaml")
	write := func(value string) {
		t.Helper()
		text := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: app, image: %q, imagePullPolicy: Never, env: [{name: A, value: %q}]}\n", images.Hello1, value)
		if err := os.WriteFile(manifest+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(manifest+".new", manifest); err != nil {
			t.Fatal(err)
		}
	}
	c.start()
	write("one")
	first := next(runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	write("two")
	if got := next(runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT); got != first {
		t.Errorf("%s has ended, not %s", got, first)
	}
	second := next(runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	if got := next(runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT); got != second {
		t.Errorf("%s has ended, not %s", got, second)
	}

	write("three")
	third := next(runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	c.stop()
	c.client = nil
	c.start()
	p := c.until("web-n1", "shown by the API server", ready)
	if got := p.Status.ContainerStatuses[0]; got.ContainerID != "containerd://"+third || got.RestartCount != 0 {
		t.Errorf("the container was %s and is %s, restarted %d times", third, got.ContainerID, got.RestartCount)
	}
}
