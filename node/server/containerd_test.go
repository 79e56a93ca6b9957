package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"proa/images"
	"proa/node/cgroup"
	nodecri "proa/node/cri"
	"proa/node/cri/userns"
	"proa/node/image"
	"proa/node/logs"
	"proa/node/server"
	"proa/node/volume"
	"proa/node/volume/objects"
	rtcri "proa/runtime/cri"
	"proa/runtime/runtimetest"
)

// node is one pod set up by hand on a real containerd, through the very parts
// that the agent uses.
type node struct {
	t       *testing.T
	env     *runtimetest.Env
	conn    *rtcri.Conn
	node    *nodecri.Node
	pod     *corev1.Pod
	volumes *volume.Manager
	cgroups *cgroup.Manager
	images  *image.Manager
	sandbox string
	ids     map[string]string
	url     string
}

func (n *node) Pods() []*corev1.Pod                                  { return []*corev1.Pod{n.pod} }
func (n *node) Pod(_, _ string, _ types.UID) (*corev1.Pod, bool)     { return n.pod, true }
func (n *node) Configz() any                                         { return nil }
func (n *node) Healthy() error                                       { return nil }
func (n *node) config() *rest.Config                                 { return &rest.Config{Host: n.url} }
func (n *node) ConfigMap(ns, name string) (*corev1.ConfigMap, error) { return nil, fmt.Errorf("none") }
func (n *node) Secret(ns, name string) (*corev1.Secret, error)       { return nil, fmt.Errorf("none") }

func ptr[T any](v T) *T { return &v }

// start runs the pod's sandbox and containers.
func start(t *testing.T, env *runtimetest.Env, pod *corev1.Pod, objs ...*corev1.ConfigMap) *node {
	t.Helper()
	ctx := t.Context()
	n := &node{t: t, env: env, conn: env.Connect(t), pod: pod, ids: map[string]string{}}
	dir := t.TempDir()
	n.node = &nodecri.Node{
		Name: "n1", Hostname: "host1", IPs: []string{"127.0.0.1"}, Root: filepath.Join(dir, "root"), PodLogs: filepath.Join(dir, "logs"),
		ClusterDomain: "cluster.local", ClusterDNS: []string{"10.43.0.10"}, MemoryCapacity: 8 << 30,
	}
	client := fake.NewClientset()
	for _, o := range objs {
		if err := client.Tracker().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	background, cancel := context.WithCancel(context.Background())
	cache := objects.New(background, client, nil)
	var err error
	imageOf := func(ctx context.Context, p *corev1.Pod, v *corev1.Volume) (string, error) {
		res, err := n.images.Ensure(ctx, image.Request{Pod: p, Container: &corev1.Container{Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy}})
		return res.Ref, err
	}
	if n.volumes, err = volume.New(volume.Config{Root: n.node.Root, NodeName: "n1", Client: client, Objects: cache, Image: imageOf}); err != nil {
		t.Fatal(err)
	}
	if n.cgroups, err = cgroup.New(cgroup.Config{Root: env.CgroupParent}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.sandbox != "" {
			n.conn.Runtime.StopPodSandbox(background, n.sandbox)
			n.conn.Runtime.RemovePodSandbox(background, n.sandbox)
		}
		if err := n.volumes.TearDown(background, pod.UID); err != nil {
			t.Error(err)
		}
		if err := n.cgroups.RemovePod(pod.UID); err != nil {
			t.Error(err)
		}
		if err := n.cgroups.Destroy(); err != nil {
			t.Error(err)
		}
		cancel()
		cache.Wait()
	})
	if err := n.cgroups.Start(); err != nil {
		t.Fatal(err)
	}
	n.node.SwapController, n.node.HugePageSizes = n.cgroups.Swap(), n.cgroups.HugePageSizes()
	n.images = image.New(image.Config{Service: n.conn.Images})
	parent, err := n.cgroups.EnsurePod(pod)
	if err != nil {
		t.Fatal(err)
	}
	vols, err := n.volumes.Setup(ctx, pod)
	if err != nil {
		t.Fatal(err)
	}
	users, err := userns.New(n.node.Root, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := nodecri.ContainerInput{PodInput: nodecri.PodInput{Node: n.node, Pod: pod, CgroupParent: parent}, Volumes: vols, Objects: n}
	if in.UserNamespace, err = users.Ensure(pod); err != nil {
		t.Fatal(err)
	}
	sandbox, _, err := nodecri.SandboxConfig(in.PodInput)
	if err != nil {
		t.Fatal(err)
	}
	if n.sandbox, err = n.conn.Runtime.RunPodSandbox(ctx, sandbox, ""); err != nil {
		t.Fatal(err)
	}
	st, err := n.conn.Runtime.PodSandboxStatus(ctx, n.sandbox, false)
	if err != nil {
		t.Fatal(err)
	}
	in.IPs = []string{st.Status.Network.Ip}
	for i := range pod.Spec.Containers {
		in.Container = &pod.Spec.Containers[i]
		res, err := n.images.Ensure(ctx, image.Request{Pod: pod, Container: in.Container, Sandbox: sandbox})
		if err != nil {
			t.Fatal(err)
		}
		in.Image, in.ImageUser = res.Ref, res.User
		if err := nodecri.MakeLogDirs(n.node, pod, in.Container.Name); err != nil {
			t.Fatal(err)
		}
		if in.Mounts, err = nodecri.Mounts(in); err != nil {
			t.Fatal(err)
		}
		config, err := nodecri.ContainerConfig(in)
		if err != nil {
			t.Fatal(err)
		}
		id, err := n.conn.Runtime.CreateContainer(ctx, n.sandbox, config, sandbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.conn.Runtime.StartContainer(ctx, id); err != nil {
			t.Fatal(err)
		}
		n.ids[in.Container.Name] = id
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: in.Container.Name, ContainerID: "containerd://" + id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		})
	}
	srv, err := server.New(server.Config{
		NodeName: "n1", Root: n.node.Root, Agent: n, Runtime: n.conn.Runtime, Images: n.conn.Images,
		Authenticate: authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: "alice"}}, true, nil
		}),
		Authorize: authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
			return authorizer.DecisionAllow, "", nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(srv.Handler())
	t.Cleanup(front.Close)
	n.url = front.URL
	return n
}

// sh runs a script in a container through the server and returns its output.
func (n *node) sh(container, script string) string {
	n.t.Helper()
	q := "/exec/default/p/" + container + "?command=sh&command=-c&command=" + urlEscape(script) + "&output=1&error=1"
	e, err := remotecommand.NewWebSocketExecutor(n.config(), "GET", n.url+q)
	if err != nil {
		n.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if err := e.StreamWithContext(n.t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &errs}); err != nil {
		n.t.Errorf("%s: %v: %s", script, err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

func urlEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func TestAPodOnARealRuntime(t *testing.T) {
	env := runtimetest.Start(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cfg", Namespace: "default", ResourceVersion: "1"}, Data: map[string]string{"key": "value"}}
	limit := resource.MustParse("4Mi")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "real-1", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			Hostname: "named", Subdomain: "sub",
			SecurityContext: &corev1.PodSecurityContext{RunAsUser: ptr(int64(1000)), RunAsGroup: ptr(int64(3000)), FSGroup: ptr(int64(2000)), SupplementalGroups: []int64{4000}, RunAsNonRoot: ptr(true)},
			HostAliases:     []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"alias"}}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "mem", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &limit}}},
				{Name: "cfg", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}, DefaultMode: ptr(int32(0o400))}}},
				{Name: "info", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}},
			},
			Containers: []corev1.Container{
				{
					Name: "a", Image: images.Hello1, ImagePullPolicy: corev1.PullNever, Command: []string{"sh", "-c", "echo started; exec sleep $(SECONDS)"},
					Env: []corev1.EnvVar{{Name: "SECONDS", Value: "10000"}, {Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}},
					VolumeMounts: []corev1.VolumeMount{
						{Name: "data", MountPath: "/data"}, {Name: "mem", MountPath: "/mem"}, {Name: "cfg", MountPath: "/cfg"}, {Name: "info", MountPath: "/info"},
						{Name: "data", MountPath: "/sub", SubPath: "x/y"}, {Name: "cfg", MountPath: "/etc/one", SubPath: "key"},
					},
					Resources:              corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("32Mi")}, Limits: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("64Mi")}},
					TerminationMessagePath: "/dev/termination-log",
					SecurityContext:        &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr(true), AllowPrivilegeEscalation: ptr(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
				},
				{Name: "web", Image: images.Hello1, ImagePullPolicy: corev1.PullNever},
			},
		},
	}
	n := start(t, env, pod, cm)

	t.Run("inside", func(t *testing.T) {
		for script, want := range map[string]string{
			"id -u; id -g; id -G":                            "1000\n3000\n3000 2000 4000",
			"cat /cfg/key":                                   "value",
			"cat /etc/one":                                   "value",
			"cat /info/labels":                               `app="web"`,
			"echo hi > /sub/f; cat /data/x/y/f":              "hi",
			"stat -c %a:%g /data":                            "2777:2000",
			"df -P -k /mem | tail -1 | awk '{print $2}'":     "4096",
			"echo no 2>/dev/null > /cfg/key || echo refused": "refused",
			"echo no 2>/dev/null > /file || echo refused":    "refused",
			"hostname": "named",
			"grep -c 'named.sub.default.svc.cluster.local' /etc/hosts": "1",
			"grep alias /etc/hosts":                    "1.2.3.4\talias",
			"grep nameserver /etc/resolv.conf":         "nameserver 10.43.0.10",
			"grep -c ndots:5 /etc/resolv.conf":         "1",
			"test -n \"$IP\" && echo yes":              "yes",
			"grep NoNewPrivs /proc/1/status":           "NoNewPrivs:\t1",
			"grep CapEff /proc/1/status":               "CapEff:\t0000000000000000",
			"echo bye > /dev/termination-log; echo $?": "0",
		} {
			if got := n.sh("a", script); got != want {
				t.Errorf("%s\ngot  %q\nwant %q", script, got, want)
			}
		}
	})
	t.Run("cgroup", func(t *testing.T) {
		st, err := n.conn.Runtime.ContainerStatus(t.Context(), n.ids["a"], true)
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Sscanf(after(st.Info["info"], `"pid":`), "%d", &pid); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), env.CgroupParent+"/kubepods/burstable/podreal-1/"+n.ids["a"]) {
			t.Errorf("%s", b)
		}
	})
	t.Run("logs", func(t *testing.T) {
		read := func(query string) string {
			res, err := http.Get(n.url + "/containerLogs/default/p/a" + query)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			return string(b)
		}
		if got := read(""); got != "started\n" {
			t.Errorf("%q", got)
		}
		st, err := n.conn.Runtime.ContainerStatus(t.Context(), n.ids["a"], false)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(n.node.PodLogs, "default_p_real-1/a/0.log"); st.Status.LogPath != want {
			t.Errorf("log path %s", st.Status.LogPath)
		}
		rot := logs.NewRotator(logs.RotatorConfig{Reopen: n.conn.Runtime.ReopenContainerLog})
		if err := rot.Rotate(t.Context(), n.ids["a"], st.Status.LogPath); err != nil {
			t.Error(err)
		}
		if got := read(""); got != "" {
			t.Errorf("after a rotation %q", got)
		}
	})
	t.Run("stats", func(t *testing.T) {
		res, err := http.Get(n.url + "/metrics/resource")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		for _, want := range []string{`container_memory_working_set_bytes{container="a",namespace="default",pod="p"}`, `pod_cpu_usage_seconds_total{namespace="default",pod="p"}`} {
			if !strings.Contains(string(b), want) {
				t.Errorf("no %s in\n%s", want, b)
			}
		}
	})
	t.Run("exec", func(t *testing.T) {
		u := "/exec/default/p/a?command=cat&input=1&output=1"
		e, err := remotecommand.NewWebSocketExecutor(n.config(), "GET", n.url+u)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		big := strings.Repeat("0123456789", 20_000)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out}); err != nil || out.String() != big {
			t.Errorf("%d of %d bytes, %v", out.Len(), len(big), err)
		}
		e, err = remotecommand.NewWebSocketExecutor(n.config(), "GET", n.url+"/exec/default/p/a?command=sh&command=-c&command=exit+3&output=1")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out}); err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Errorf("%v", err)
		}
	})
}

// A pod with hostUsers: false is root in itself and nobody on the node, with
// its volumes its own.
func TestAUserNamespaceAndAnImageVolumeOnARealRuntime(t *testing.T) {
	env := runtimetest.Start(t)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "real-2"},
		Spec: corev1.PodSpec{
			HostUsers: ptr(false),
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "img", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: images.Hello1, PullPolicy: corev1.PullNever}}},
			},
			Containers: []corev1.Container{{
				Name: "a", Image: images.Hello1, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "10000"},
				SecurityContext: &corev1.SecurityContext{RunAsUser: ptr(int64(0))},
				VolumeMounts:    []corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "img", MountPath: "/img"}},
			}},
		},
	}
	n := start(t, env, pod)
	if f := strings.Fields(n.sh("a", "cat /proc/self/uid_map")); len(f) != 3 || f[0] != "0" || f[1] == "0" || f[2] != "65536" {
		t.Errorf("uid_map %v", f)
	}
	if got := n.sh("a", "echo x > /data/f; stat -c %u:%g /data/f"); got != "0:0" {
		t.Errorf("inside: %s", got)
	}
	if got := n.sh("a", "test -x /img/bin/sh && echo yes; echo x 2>/dev/null >/img/f || echo refused"); got != "yes\nrefused" {
		t.Errorf("image volume: %q", got)
	}
	if got := n.sh("a", "grep -c Kubernetes-managed /etc/hosts"); got != "1" {
		t.Errorf("hosts: %s", got)
	}
}

// after is what follows the first mark.
func after(s, mark string) string {
	_, rest, _ := strings.Cut(s, mark)
	return rest
}
