package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	nodecri "proa/node/cri"
)

func TestNothingWithoutCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []string{"/", "/pods", "/healthz", "/metrics", "/stats/summary", "/containerLogs/ns/p/c", "/exec/ns/p/c", "/configz", "/debug/pprof/", "/checkpoint/ns/p/c"} {
		res, err := w.front.Client().Get(w.front.URL + p)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 401 {
			t.Errorf("%s: %d", p, res.StatusCode)
		}
	}
	if _, err := New(Config{Agent: w.agent, Runtime: w.runtime}); err == nil {
		t.Error("a server without authentication was made")
	}
}

func TestPathsNeedTheirSubresource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked []string
	w.allow = func(a authorizer.Attributes) bool {
		asked = append(asked, a.GetVerb()+" "+a.GetResource()+"/"+a.GetSubresource()+" "+a.GetName())
		return false
	}
	for path, want := range map[string]string{
		"GET /pods":                 "get nodes/pods n1,get nodes/proxy n1",
		"GET /stats/summary":        "get nodes/stats n1",
		"GET /metrics/resource":     "get nodes/metrics n1",
		"GET /healthz":              "get nodes/healthz n1,get nodes/proxy n1",
		"GET /configz":              "get nodes/configz n1,get nodes/proxy n1",
		"GET /containerLogs/a/b/c":  "get nodes/proxy n1",
		"POST /exec/a/b/c":          "create nodes/proxy n1",
		"GET /exec/a/b/c":           "create nodes/proxy n1",
		"GET /portForward/a/b":      "create nodes/proxy n1",
		"GET /metrics/../exec/a/b/": "get nodes/metrics n1",
	} {
		asked = nil
		method, p, _ := strings.Cut(path, " ")
		code, body := w.call(t, method, p)
		if got := strings.Join(asked, ","); got != want {
			t.Errorf("%s asked %s, want %s", path, got, want)
		}
		if code != 403 || !strings.HasPrefix(body, "Forbidden (user=alice, verb=") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestContainerLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runtime.logPath = filepath.Join(t.TempDir(), "0.log")
	text := "2026-01-02T03:04:05.000000000Z stdout F one\n2026-01-02T03:04:06.000000000Z stderr F two\n"
	if err := os.WriteFile(w.runtime.logPath, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		code int
		want string
	}{
		{"/containerLogs/ns/p/c", 200, "one\ntwo\n"},
		{"/containerLogs/ns/p/c?tailLines=1", 200, "two\n"},
		{"/containerLogs/ns/p/c?timestamps=true&limitBytes=35", 200, "2026-01-02T03:04:05.000000000Z one\n"},
		{"/containerLogs/ns/p/c?sinceTime=2026-01-02T03:04:06Z", 200, "two\n"},
		{"/containerLogs/ns/p/c?stream=Stdout", 200, "one\n"},
		{"/containerLogs/ns/none/c", 404, `pod "none" does not exist`},
		{"/containerLogs/ns/p/none", 404, `container "none" not found in pod "p"`},
		{"/containerLogs/ns/p/waiting", 400, `container "waiting" in pod "p" is waiting to start: ContainerCreating`},
		{"/containerLogs/ns/p/c?previous=true", 400, `previous terminated container "c" in pod "p" not found`},
		{"/containerLogs/ns/p/c?tailLines=-1", 422, `{"message": "Invalid request."}`},
		{"/containerLogs/ns/p/c?sinceSeconds=x", 422, `{"message": "Invalid request."}`},
		{"/containerLogs/ns/p/c?limitBytes=0", 422, `{"message": "Invalid request."}`},
	} {
		code, body := w.call(t, "GET", tc.path)
		if code != tc.code || strings.TrimSpace(body) != strings.TrimSpace(tc.want) {
			t.Errorf("%s: %d %q", tc.path, code, body)
		}
	}
}

func TestFollowedLogsArriveAtOnceAndEndWithTheContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runtime.logPath = filepath.Join(t.TempDir(), "0.log")
	f, err := os.Create(w.runtime.logPath)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", w.front.URL+"/containerLogs/ns/p/c?follow=true", nil)
	req.Header.Set("Authorization", "Bearer good")
	// The header arrives although nothing is logged yet.
	res, err := w.front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for i := range 3 {
		line := fmt.Sprintf("line %d\n", i)
		fmt.Fprintf(f, "2026-01-02T03:04:05Z stdout F %s", line)
		got := make([]byte, len(line))
		if _, err := res.Body.Read(got); err != nil || string(got) != line {
			t.Fatalf("%q %v", got, err)
		}
	}
	w.runtime.mu.Lock()
	w.runtime.state = runtimeapi.ContainerState_CONTAINER_EXITED
	w.runtime.mu.Unlock()
	f.Close()
	if n, err := res.Body.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("%d %v", n, err)
	}
}

func TestLogContainer(t *testing.T) {
	t.Parallel()
	term := func(id string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: id}}
	}
	wait := func(why string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: why}}
	}
	for name, tc := range map[string]struct {
		st       corev1.ContainerStatus
		previous bool
		want     string
	}{
		"running":         {corev1.ContainerStatus{ContainerID: "x://a", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, false, "a"},
		"terminated":      {corev1.ContainerStatus{State: term("x://a")}, false, "a"},
		"never restarted": {corev1.ContainerStatus{State: term(""), LastTerminationState: term("x://b")}, false, "b"},
		"crash loop":      {corev1.ContainerStatus{State: wait("CrashLoopBackOff"), LastTerminationState: term("x://b")}, false, "b"},
		"previous":        {corev1.ContainerStatus{State: wait("CrashLoopBackOff"), LastTerminationState: term("x://b")}, true, "b"},
		"lost":            {corev1.ContainerStatus{State: term("")}, false, `container "c" in pod "p" is terminated`},
		"pull":            {corev1.ContainerStatus{State: wait("ErrImagePull")}, false, `container "c" in pod "p" is waiting to start: image can't be pulled`},
		"back-off":        {corev1.ContainerStatus{State: wait("ImagePullBackOff")}, false, `container "c" in pod "p" is waiting to start: trying and failing to pull image`},
		"nothing":         {corev1.ContainerStatus{}, false, `container "c" in pod "p" is waiting to start - no logs yet`},
	} {
		p := testPod()
		tc.st.Name = "c"
		p.Status.ContainerStatuses = []corev1.ContainerStatus{tc.st}
		got, err := logContainer(p, "c", tc.previous)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestPodsConfigAndHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/pods", "/pods/", "/runningpods/"} {
		code, body := w.call(t, "GET", path)
		var list corev1.PodList
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || len(list.Items) != 1 || list.Items[0].Name != "p" || list.Kind != "PodList" {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := w.call(t, "GET", "/configz"); code != 200 || body != `{"kubeletconfig":{"kind":"KubeletConfiguration"}}` {
		t.Errorf("%d %s", code, body)
	}
	if code, body := w.call(t, "GET", "/healthz"); code != 200 || body != "ok" {
		t.Errorf("%d %s", code, body)
	}
	w.agent.health = errors.New("stuck")
	if code, body := w.call(t, "GET", "/healthz"); code != 500 || !strings.Contains(body, "[-]syncloop failed: reason withheld") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := w.call(t, "GET", "/healthz/ping"); code != 200 {
		t.Errorf("ping %d", code)
	}
}

func TestHealthServesNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.ServeHealth(ctx, l) }()
	for path, code := range map[string]int{"/healthz": 200, "/healthz?verbose": 200, "/pods": 404, "/metrics": 404, "/debug/pprof/": 404, "/": 404} {
		res, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != code {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func u(v uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: v} }

func sandboxStats(sec, cpu uint64) []*runtimeapi.PodSandboxStats {
	ns := int64(sec) * int64(time.Second)
	use := &runtimeapi.CpuUsage{Timestamp: ns, UsageCoreNanoSeconds: u(cpu)}
	mem := &runtimeapi.MemoryUsage{Timestamp: ns, WorkingSetBytes: u(1000), UsageBytes: u(2000)}
	return []*runtimeapi.PodSandboxStats{{
		Attributes: &runtimeapi.PodSandboxAttributes{Id: "sb1", Metadata: &runtimeapi.PodSandboxMetadata{Uid: "uid"}},
		Linux: &runtimeapi.LinuxPodSandboxStats{Cpu: use, Memory: mem, Containers: []*runtimeapi.ContainerStats{{
			Attributes: &runtimeapi.ContainerAttributes{Id: "id1", Metadata: &runtimeapi.ContainerMetadata{Name: "c"}},
			Cpu:        use, Memory: mem, WritableLayer: &runtimeapi.FilesystemUsage{UsedBytes: u(4096)},
		}}},
	}}
}

func TestSummaryAndMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runtime.stats = sandboxStats(100, 5e9)
	w.call(t, "GET", "/stats/summary")
	w.runtime.stats = sandboxStats(110, 10e9)
	code, body := w.call(t, "GET", "/stats/summary")
	var sum stats.Summary
	if err := json.Unmarshal([]byte(body), &sum); err != nil || code != 200 || len(sum.Pods) != 1 {
		t.Fatalf("%d %s %v", code, body, err)
	}
	if c := sum.Pods[0].Containers[0]; c.Name != "c" || *c.CPU.UsageNanoCores != 5e8 || *c.Memory.WorkingSetBytes != 1000 || *c.Rootfs.UsedBytes != 4096 {
		t.Errorf("%+v", c)
	}
	if n := sum.Node; n.NodeName != "n1" || *n.CPU.UsageCoreNanoSeconds == 0 || *n.Memory.WorkingSetBytes == 0 || *n.Fs.CapacityBytes == 0 || *n.Rlimit.MaxPID == 0 {
		t.Errorf("node %+v", n)
	}
	_, body = w.call(t, "GET", "/metrics/resource")
	for _, want := range []string{
		`container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 10 110000`,
		`container_memory_working_set_bytes{container="c",namespace="ns",pod="p"} 1000 110000`,
		`pod_cpu_usage_seconds_total{namespace="ns",pod="p"} 10 110000`,
		"# TYPE node_cpu_usage_seconds_total counter", "resource_scrape_error 0",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	w.agent.pods[0].Status.Phase = corev1.PodRunning
	if code, own := w.call(t, "GET", "/metrics"); code != 200 || !strings.Contains(own, "kubelet_running_pods 1\n") || !strings.Contains(own, "process_cpu_seconds_total") {
		t.Errorf("%d %s", code, own)
	}
	_, body = w.call(t, "GET", "/metrics/cadvisor")
	for _, want := range []string{`container_memory_usage_bytes{container="c",image="",namespace="ns",pod="p"} 2000`, "machine_cpu_cores"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

// CVE-2020-8557: a container could fill the node's disk through /etc/hosts,
// which nobody counted.
func TestTheHostsFileCountsTowardEviction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runtime.stats = sandboxStats(100, 5e9)
	hosts := nodecri.HostsFile(w.cfg.Root, "uid")
	if err := os.MkdirAll(filepath.Dir(hosts), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hosts, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	sum, err := w.Summary(t.Context(), false)
	if err != nil || *sum.Pods[0].EphemeralStorage.UsedBytes != 1<<20+4096 {
		t.Errorf("%+v %v", sum.Pods[0].EphemeralStorage, err)
	}
}

func TestDiskUsageFollowsNoLinkAndCountsOnce(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(big, d+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d+"/f", make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(d+"/f", d+"/again"); err != nil {
		t.Fatal(err)
	}
	if got := diskUsage(t.Context(), d); got.bytes > 64<<10 || got.bytes < 8192 || got.inodes != 3 {
		t.Errorf("%+v", got)
	}
}

func TestSystemLogsFollowNoLinkOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	w.cfg.SystemLogs = dir
	h := w.guard(w.routes())
	if err := os.WriteFile(dir+"/syslog", []byte("line\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"passwd": "/etc/passwd", "up": "../../../../etc/passwd"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, code := range map[string]int{"/logs/syslog": 200, "/logs/": 200, "/logs/passwd": 500, "/logs/up": 500, "/logs/%2e%2e/etc/passwd": 404} {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Authorization", "Bearer good")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if strings.Contains(rec.Body.String(), "root:") || code == 200 && rec.Code != 200 || code != 200 && rec.Code < 300 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}
