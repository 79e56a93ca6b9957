package node_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/images"
	"proa/node"
	"proa/node/pod"
	"proa/runtime/cri"
	"proa/runtime/runtimetest"
)

// cluster is an API server in memory and a real container runtime, with an agent
// between them.
type cluster struct {
	t       testing.TB
	admin   kubernetes.Interface
	client  kubernetes.Interface // the agent's; admin if nil
	runtime *runtimetest.Env
	conn    *cri.Conn
	dir     string
	url     string // of the agent's API
	stop    func()
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{t: t, runtime: runtimetest.Start(t), dir: t.TempDir()}
	c.conn = c.runtime.Connect(t)
	c.admin = apitest.Start(t).Admin
	if err := os.MkdirAll(c.manifests(), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.CoreV1().ServiceAccounts("default").Create(t.Context(), &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.start()
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *cluster) manifests() string { return filepath.Join(c.dir, "manifests") }

// start starts an agent; c.stop stops it, as a crash would but for the logs.
func (c *cluster) start() {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.url = "https://" + l.Addr().String()
	client := c.client
	if client == nil {
		client = c.admin
	}
	agent, err := node.New(node.Config{
		Listener: l, Authenticate: everybody{},
		NodeName: "n1", NodeIPs: []string{"127.0.0.1"}, Root: filepath.Join(c.dir, "root"), ContainerLogs: "-",
		Client: client, Runtime: c.conn.Runtime, Images: c.conn.Images,
		Kubelet: kubeletconfig.KubeletConfiguration{
			PodLogsDir: filepath.Join(c.dir, "logs"), CgroupRoot: c.runtime.CgroupParent, StaticPodPath: c.manifests(),
			HealthzPort:   ptr.To[int32](0),
			Authorization: kubeletconfig.KubeletAuthorization{Mode: kubeletconfig.KubeletAuthorizationModeAlwaysAllow},
		},
		Log: slog.New(slog.NewTextHandler(c.t.Output(), nil)),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	c.stop = func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
		c.stop = func() {}
	}
	select {
	case <-agent.Ready():
	case err := <-done:
		done <- nil
		c.t.Fatal(err)
	}
}

// everybody lets everyone in.
type everybody struct{}

func (everybody) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: &user.DefaultInfo{Name: "tester"}}, true, nil
}

// get asks the agent's API.
func (c *cluster) get(path string) string {
	c.t.Helper()
	// The agent's certificate is its own, which is not what this tests.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(c.url + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s: %s %v\n%s", path, resp.Status, err, body)
	}
	return string(body)
}

// create makes a pod on the node, running the project's web server.
func (c *cluster) create(name string, change func(*v1.Pod)) *v1.Pod {
	c.t.Helper()
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: v1.PodSpec{
			NodeName: "n1", TerminationGracePeriodSeconds: ptr.To[int64](1), AutomountServiceAccountToken: ptr.To(false),
			Containers: []v1.Container{{Name: "app", Image: images.Hello1, ImagePullPolicy: v1.PullNever}},
		},
	}
	if change != nil {
		change(p)
	}
	made, err := c.admin.CoreV1().Pods("default").Create(c.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return made
}

// until follows a pod until ok says so of it, or of nil when it is gone.
func (c *cluster) until(name, what string, ok func(*v1.Pod) bool) *v1.Pod {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if p, done := c.follow(ctx, name, ok); done {
			return p
		}
	}
	p, err := c.admin.CoreV1().Pods("default").Get(c.t.Context(), name, metav1.GetOptions{})
	c.t.Fatalf("pod %s: not %s in time; it is %+v %v", name, what, p, err)
	return nil
}

// follow gets and watches a pod until ok says so, or the watch ends.
func (c *cluster) follow(ctx context.Context, name string, ok func(*v1.Pod) bool) (*v1.Pod, bool) {
	c.t.Helper()
	pods := c.admin.CoreV1().Pods("default")
	list, err := pods.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		c.t.Fatal(err)
	}
	var p *v1.Pod
	if len(list.Items) > 0 {
		p = &list.Items[0]
	}
	if ok(p) {
		return p, true
	}
	w, err := pods.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		c.t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		it, is := e.Object.(*v1.Pod)
		if !is {
			return nil, false // the version is too old by now
		}
		if p = it; e.Type == watch.Deleted {
			p = nil
		}
		if ok(p) {
			return p, true
		}
	}
	return nil, false
}

func ready(p *v1.Pod) bool {
	if p == nil {
		return false
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == v1.PodReady {
			return cond.Status == v1.ConditionTrue
		}
	}
	return false
}

func gone(p *v1.Pod) bool { return p == nil }

func TestPodOnContainerd(t *testing.T) {
	c := newCluster(t)
	began := time.Now()
	c.create("hello", func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{{Name: "init", Image: images.Hello1, Command: []string{"sh", "-c", "echo from init | tee /data/file"}, VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/data"}}}}
		app := &p.Spec.Containers[0]
		app.VolumeMounts = []v1.VolumeMount{{Name: "data", MountPath: "/data"}}
		app.ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"grep", "from init", "/data/file"}}}}
		p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	})
	p := c.until("hello", "ready", ready)
	t.Logf("with an init container, ready after %v", time.Since(began))
	if p.Status.PodIP == "" || p.Status.StartTime == nil || p.Status.ContainerStatuses[0].ImageID == "" {
		t.Errorf("status %+v", p.Status)
	}

	if log := c.get("/containerLogs/default/hello/init"); log != "from init\n" {
		t.Errorf("log of the init container: %q", log)
	}
	if list := c.get("/pods"); !strings.Contains(list, `"name":"hello"`) || !strings.Contains(list, `"phase":"Running"`) {
		t.Errorf("pods: %s", list)
	}

	if m := c.get("/metrics"); !strings.Contains(m, "kubelet_running_pods 1") {
		t.Errorf("metrics: %s", m)
	}
	if m := c.get("/metrics/probes"); !strings.Contains(m, `probe_type="Readiness",result="successful"`) {
		t.Errorf("probe metrics: %s", m)
	}

	// The agent dies and comes back: nothing restarts.
	before := p.Status.ContainerStatuses[0].ContainerID
	c.stop()
	c.start()
	c.create("second", nil)
	c.until("second", "ready", ready) // the new agent is at work
	p = c.until("hello", "ready", ready)
	if got := p.Status.ContainerStatuses[0]; got.ContainerID != before || got.RestartCount != 0 {
		t.Errorf("after the agent's restart: %+v", got)
	}

	for _, name := range []string{"hello", "second"} {
		if err := c.admin.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.until(name, "gone", gone)
	}
	if entries, err := os.ReadDir(filepath.Join(c.dir, "root", "pods")); err != nil || len(entries) > 0 {
		t.Errorf("pod directories left: %v %v", entries, err)
	}
}

func TestJobOnContainerd(t *testing.T) {
	c := newCluster(t)
	c.create("job", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		p.Spec.Containers[0].Command = []string{"sh", "-c", "echo all is lost >/dev/termination-log; exit 3"}
	})
	p := c.until("job", "failed", func(p *v1.Pod) bool { return p != nil && p.Status.Phase == v1.PodFailed })
	if end := p.Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != 3 || end.Message != "all is lost\n" || end.Reason != "Error" {
		t.Errorf("end: %+v", p.Status.ContainerStatuses[0].State)
	}
}

func TestStaticPodOnContainerd(t *testing.T) {
	c := newCluster(t)
	manifest := filepath.Join(c.manifests(), "web.yaml")
	text := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: app, image: %q, imagePullPolicy: Never}\n", images.Hello1)
	if err := os.WriteFile(manifest, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := c.until("web-n1", "ready", ready)
	if p.Annotations[pod.MirrorAnnotation] == "" || p.Annotations[pod.SourceAnnotation] != "file" {
		t.Errorf("annotations %v", p.Annotations)
	}
	container := p.Status.ContainerStatuses[0].ContainerID

	// A deleted mirror comes back, and the pod never noticed.
	if err := c.admin.CoreV1().Pods("default").Delete(t.Context(), "web-n1", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	old := p.UID
	p = c.until("web-n1", "back", func(p *v1.Pod) bool { return ready(p) && p.UID != old })
	if got := p.Status.ContainerStatuses[0].ContainerID; got != container {
		t.Errorf("the container was %s and is %s", container, got)
	}

	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	c.until("web-n1", "gone", gone)
}

func TestThirtyPodsOnContainerd(t *testing.T) {
	if testing.Short() {
		t.Skip("thirty real pods take a while")
	}
	c := newCluster(t)
	const n = 30
	began := time.Now()
	for i := range n {
		c.create(fmt.Sprintf("p%d", i), nil)
	}
	for i := range n {
		c.until(fmt.Sprintf("p%d", i), "ready", ready)
	}
	took := time.Since(began)
	t.Logf("%d pods ready after %v, %.1f a second", n, took, n/took.Seconds())
	began = time.Now()
	if err := c.admin.CoreV1().Pods("default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.until(fmt.Sprintf("p%d", i), "gone", gone)
	}
	t.Logf("gone after %v", time.Since(began))
}
