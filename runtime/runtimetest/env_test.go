package runtimetest_test

import (
	"context"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/runtime/runtimetest"
)

func TestPodRuns(t *testing.T) {
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx := context.Background()
	sc := env.SandboxConfig("web")
	for range 3 {
		t0 := time.Now()
		id, err := conn.Runtime.RunPodSandbox(ctx, sc, "")
		if err != nil {
			t.Fatal(err)
		}
		t1 := time.Now()
		c, err := conn.Runtime.CreateContainer(ctx, id, env.ContainerConfig("hello", images.Hello1), sc)
		if err != nil {
			t.Fatal(err)
		}
		t2 := time.Now()
		if err := conn.Runtime.StartContainer(ctx, c); err != nil {
			t.Fatal(err)
		}
		t3 := time.Now()
		t.Logf("sandbox %v create %v start %v", t1.Sub(t0), t2.Sub(t1), t3.Sub(t2))
		st, err := conn.Runtime.ContainerStatus(ctx, c, false)
		if err != nil {
			t.Fatal(err)
		}
		if st.Status.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("container is %s", st.Status.State)
		}
		t4 := time.Now()
		if err := conn.Runtime.StopPodSandbox(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := conn.Runtime.RemovePodSandbox(ctx, id); err != nil {
			t.Fatal(err)
		}
		t.Logf("stop+remove %v", time.Since(t4))
	}
}
