package node_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"

	"proa/images"
	"proa/node"
	"proa/runtime/runtimetest"
)

// TestRunsAPod takes one pod from the API to a running container of a real
// containerd and back.
func TestRunsAPod(t *testing.T) {
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	client := fake.NewClientset()
	dir := t.TempDir()
	agent, err := node.New(node.Config{
		NodeName: "n1", NodeIPs: []string{"127.0.0.1"}, Root: filepath.Join(dir, "root"), ContainerLogs: "-",
		Client: client, Runtime: conn.Runtime, Images: conn.Images,
		Kubelet: kubeletconfig.KubeletConfiguration{
			PodLogsDir: filepath.Join(dir, "logs"), CgroupRoot: env.CgroupParent, EnableServer: ptr.To(false), HealthzPort: ptr.To[int32](0),
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-agent.Ready():
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	pods := client.CoreV1().Pods("default")
	w, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = pods.Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "hello", Namespace: "default", UID: "u1"},
		Spec: v1.PodSpec{
			NodeName: "n1", RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To[int64](1),
			Containers: []v1.Container{{Name: "app", Image: images.Hello1, ImagePullPolicy: v1.PullNever, TerminationMessagePath: "/dev/termination-log"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for e := range w.ResultChan() {
		p := e.Object.(*v1.Pod)
		if len(p.Status.ContainerStatuses) > 0 {
			t.Logf("%v %s %+v", time.Since(began), p.Status.Phase, p.Status.ContainerStatuses[0].State)
		}
		if len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready {
			t.Logf("ready after %v: %+v", time.Since(began), p.Status)
			break
		}
	}
	p, err := pods.Get(ctx, "hello", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p = p.DeepCopy()
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Now()}, ptr.To[int64](1)
	if _, err := pods.Update(ctx, p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for e := range w.ResultChan() {
		if e.Type == "DELETED" {
			t.Logf("gone after %v: %+v", time.Since(began), e.Object.(*v1.Pod).Status)
			break
		}
	}
}
