package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/rest"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	remotecommandserver "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/utils/exec"

	nodecri "proa/node/cri"
)

// fakeRuntime is a container runtime with one container, whose streams are
// served by the very code that runtimes use.
type fakeRuntime struct {
	cri.RuntimeService
	streaming.Server
	logPath string
	// answer replaces the URL given for an exec.
	answer string

	mu      sync.Mutex
	state   runtimeapi.ContainerState
	size    *remotecommandserver.TerminalSize
	execReq *runtimeapi.ExecRequest
	stats   []*runtimeapi.PodSandboxStats
}

func (f *fakeRuntime) ListContainers(_ context.Context, filter *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := filter.GetLabelSelector(); l[nodecri.LabelContainerName] != "" && (l[nodecri.LabelContainerName] != "c" || l[nodecri.LabelPodUID] != "uid") {
		return nil, nil
	}
	return []*runtimeapi.Container{{Id: "id1", Image: &runtimeapi.ImageSpec{Image: "img"}, Labels: nodecri.ContainerLabels(testPod(), "c")}}, nil
}

func (f *fakeRuntime) ListPodSandbox(_ context.Context, filter *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
	return []*runtimeapi.PodSandbox{{Id: "sb1"}}, nil
}

func (f *fakeRuntime) ListPodSandboxStats(context.Context, *runtimeapi.PodSandboxStatsFilter) ([]*runtimeapi.PodSandboxStats, error) {
	return f.stats, nil
}

func (f *fakeRuntime) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	if id != "id1" {
		return nil, errors.New("not found")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{Id: id, LogPath: f.logPath, State: f.state}}, nil
}

func (f *fakeRuntime) Exec(_ context.Context, r *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	f.mu.Lock()
	f.execReq = r
	f.mu.Unlock()
	if f.answer != "" {
		return &runtimeapi.ExecResponse{Url: f.answer}, nil
	}
	return f.GetExec(r)
}

func (f *fakeRuntime) Attach(_ context.Context, r *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	return f.GetAttach(r)
}

func (f *fakeRuntime) PortForward(_ context.Context, r *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	return f.GetPortForward(r)
}

func (f *fakeRuntime) ExecSync(_ context.Context, id string, cmd []string, _ time.Duration) ([]byte, []byte, error) {
	return []byte(strings.Join(cmd, ",")), []byte("!"), nil
}

// process is what runs in the container: it echoes, and understands a few
// commands.
type process struct{ f *fakeRuntime }

func (p process) Exec(ctx context.Context, _ string, cmd []string, in io.Reader, out, errw io.WriteCloser, tty bool, resize <-chan remotecommandserver.TerminalSize) error {
	switch cmd[0] {
	case "fail":
		fmt.Fprint(errw, "bad")
		return exec.CodeExitError{Err: errors.New("exit 7"), Code: 7}
	case "size":
		s := <-resize
		p.f.mu.Lock()
		p.f.size = &s
		p.f.mu.Unlock()
		fmt.Fprintf(out, "%dx%d", s.Width, s.Height)
	case "cat":
		// Ends only if the end of the input gets through.
		_, err := io.Copy(out, in)
		return err
	default:
		fmt.Fprint(out, strings.Join(cmd, " "))
	}
	return nil
}

func (p process) Attach(ctx context.Context, id string, in io.Reader, out, errw io.WriteCloser, tty bool, _ <-chan remotecommandserver.TerminalSize) error {
	fmt.Fprintf(out, "attached tty=%v", tty)
	return nil
}

func (p process) PortForward(_ context.Context, sandbox string, port int32, s io.ReadWriteCloser) error {
	defer s.Close()
	var b [4]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s, "%s %d %s", sandbox, port, b[:])
	return err
}

type fakeAgent struct {
	pods   []*corev1.Pod
	health error
}

func (a *fakeAgent) Pods() []*corev1.Pod { return a.pods }
func (a *fakeAgent) Configz() any        { return map[string]string{"kind": "KubeletConfiguration"} }
func (a *fakeAgent) Healthy() error      { return a.health }
func (a *fakeAgent) Pod(ns, name string, _ types.UID) (*corev1.Pod, bool) {
	for _, p := range a.pods {
		if p.Namespace == ns && p.Name == name {
			return p, true
		}
	}
	return nil, false
}

func testPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "uid"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}, {Name: "waiting"}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "c", ContainerID: "containerd://id1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			{Name: "waiting", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}},
		}},
	}
}

// world is a server with everything around it.
type world struct {
	*Server
	runtime *fakeRuntime
	agent   *fakeAgent
	front   *httptest.Server
	allow   func(authorizer.Attributes) bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{agent: &fakeAgent{pods: []*corev1.Pod{testPod()}}, allow: func(authorizer.Attributes) bool { return true }}
	w.runtime = &fakeRuntime{state: runtimeapi.ContainerState_CONTAINER_RUNNING}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conf := streaming.DefaultConfig
	conf.Addr = l.Addr().String()
	if w.runtime.Server, err = streaming.NewServer(conf, process{w.runtime}); err != nil {
		t.Fatal(err)
	}
	back := &http.Server{Handler: w.runtime.Server}
	go back.Serve(l)
	t.Cleanup(func() { back.Close() })

	w.Server, err = New(Config{
		NodeName: "n1", Root: t.TempDir(), Agent: w.agent, Runtime: w.runtime,
		Authenticate: authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			if r.Header.Get("Authorization") != "Bearer good" {
				return nil, false, nil
			}
			return &authenticator.Response{User: &user.DefaultInfo{Name: "alice"}}, true, nil
		}),
		Authorize: authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			if w.allow(a) {
				return authorizer.DecisionAllow, "", nil
			}
			return authorizer.DecisionNoOpinion, "", nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.front = httptest.NewUnstartedServer(w.Handler())
	w.front.TLS = &tls.Config{}
	w.front.StartTLS()
	t.Cleanup(func() { w.stop(); w.front.CloseClientConnections(); w.front.Close() })
	return w
}

func (w *world) config() *rest.Config {
	return &rest.Config{Host: w.front.URL, BearerToken: "good", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

func (w *world) url(path string) *url.URL {
	u, err := url.Parse(w.front.URL + path)
	if err != nil {
		panic(err)
	}
	return u
}

// call makes a plain request.
func (w *world) call(t *testing.T, method, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.front.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	res, err := w.front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b.String()
}
