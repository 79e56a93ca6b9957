package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
)

func list(kv ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(kv); i += 2 {
		l[corev1.ResourceName(kv[i])] = resource.MustParse(kv[i+1])
	}
	return l
}

func testPod(reqs ...corev1.ResourceRequirements) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: uuid.NewUUID()}}
	for i, r := range reqs {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Resources: r})
	}
	return p
}

func req(requests, limits corev1.ResourceList) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}

// testManager makes a Manager with a root of its own, removed afterwards.
func testManager(t *testing.T) *Manager {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	m, err := New(Config{
		Root:        "proa-test-" + string(uuid.NewUUID())[:8],
		Allocatable: list("cpu", "2", "memory", "1Gi"),
	})
	if err != nil {
		t.Skipf("no cgroups here: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Destroy(); err != nil {
			t.Errorf("destroy: %v", err)
		}
		if paths, err := m.paths(m.root); err == nil {
			for _, p := range paths {
				if _, err := os.Stat(p); err == nil {
					t.Errorf("left behind: %s", p)
				}
			}
		}
	})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, m *Manager, n name, controller, v1, v2 string) string {
	t.Helper()
	paths, err := m.paths(n)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(paths[controller], v1)
	if m.unified {
		file = filepath.Join(paths[""], v2)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestPodCgroupIsMadeLimitedAndRemoved(t *testing.T) {
	t.Parallel()
	m := testManager(t)
	pod := testPod(req(list("cpu", "500m", "memory", "64Mi"), list("cpu", "1", "memory", "128Mi")))
	parent, err := m.EnsurePod(pod)
	if err != nil {
		t.Fatal(err)
	}
	if want := m.root.fs() + "/kubepods/burstable/pod" + string(pod.UID); parent != want {
		t.Errorf("parent %s, want %s", parent, want)
	}
	n := m.podName(pod)
	if got := read(t, m, n, "memory", "memory.limit_in_bytes", "memory.max"); got != "134217728" {
		t.Errorf("memory limit %s", got)
	}
	if !m.unified {
		if got := read(t, m, n, "cpu", "cpu.shares", ""); got != "512" {
			t.Errorf("shares %s", got)
		}
		if got := read(t, m, n, "cpu", "cpu.cfs_quota_us", ""); got != "100000" {
			t.Errorf("quota %s", got)
		}
	}
	// Allocatable bounds the whole.
	if got := read(t, m, m.top, "memory", "memory.limit_in_bytes", "memory.max"); got != "1073741824" {
		t.Errorf("kubepods memory limit %s", got)
	}
	// A resize takes effect.
	bigger := pod.DeepCopy()
	bigger.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory] = resource.MustParse("256Mi")
	if _, err := m.EnsurePod(bigger); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, n, "memory", "memory.limit_in_bytes", "memory.max"); got != "268435456" {
		t.Errorf("memory limit after resize %s", got)
	}
	if got, err := m.Pods(); err != nil || len(got) != 1 || got[0] != pod.UID {
		t.Errorf("pods %v %v", got, err)
	}
	if err := m.RemovePod(pod.UID); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Pods(); err != nil || len(got) != 0 {
		t.Errorf("pods after removal %v %v", got, err)
	}
	if err := m.RemovePod(pod.UID); err != nil {
		t.Errorf("second removal: %v", err)
	}
}

func TestRemovalKillsWhatIsLeftAndNeedsNoMemoryOfIt(t *testing.T) {
	t.Parallel()
	m := testManager(t)
	pod := testPod(req(nil, nil))
	if _, err := m.EnsurePod(pod); err != nil {
		t.Fatal(err)
	}
	// A container's cgroup with a process in it, below the pod's.
	paths, err := m.paths(m.podName(pod).child("container"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	for c, p := range paths {
		if c == "cpuset" {
			continue // needs cpus first
		}
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p, "cgroup.procs"), []byte(fmt.Sprint(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	// An agent that was restarted knows nothing of the pod.
	again, err := New(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.RemovePod(pod.UID); err != nil {
		t.Fatal(err)
	}
	<-done
	if got, _ := again.Pods(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestBurstableTierWeighsWhatItsPodsAskFor(t *testing.T) {
	t.Parallel()
	m := testManager(t)
	pods := []*corev1.Pod{
		testPod(req(list("cpu", "250m"), nil)),
		testPod(req(list("cpu", "750m"), nil)),
		testPod(req(list("cpu", "1", "memory", "1Mi"), list("cpu", "1", "memory", "1Mi"))), // guaranteed
		testPod(req(nil, nil)),
	}
	for _, p := range pods {
		if _, err := m.EnsurePod(p); err != nil {
			t.Fatal(err)
		}
	}
	shares := func(class corev1.PodQOSClass) string {
		return read(t, m, tier(m.top, class), "cpu", "cpu.shares", "cpu.weight")
	}
	if m.unified {
		return // the weights are of another scale
	}
	if got := shares(corev1.PodQOSBurstable); got != "1024" {
		t.Errorf("burstable shares %s", got)
	}
	if got := shares(corev1.PodQOSBestEffort); got != "2" {
		t.Errorf("best-effort shares %s", got)
	}
	if err := m.RemovePod(pods[0].UID); err != nil {
		t.Fatal(err)
	}
	if got := shares(corev1.PodQOSBurstable); got != "768" {
		t.Errorf("burstable shares after a removal %s", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	uid := types.UID("0123-4567")
	for _, tc := range []struct {
		root        name
		class       corev1.PodQOSClass
		fs, systemd string
	}{
		{nil, corev1.PodQOSGuaranteed, "/kubepods/pod0123-4567", "/kubepods.slice/kubepods-pod0123_4567.slice"},
		{nil, corev1.PodQOSBurstable, "/kubepods/burstable/pod0123-4567", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123_4567.slice"},
		{name{"proa"}, corev1.PodQOSBestEffort, "/proa/kubepods/besteffort/pod0123-4567", "/proa.slice/proa-kubepods.slice/proa-kubepods-besteffort.slice/proa-kubepods-besteffort-pod0123_4567.slice"},
	} {
		n := tier(tc.root.child(topName), tc.class).child(podPrefix + string(uid))
		if n.fs() != tc.fs || n.systemd() != tc.systemd {
			t.Errorf("%v: %s %s", n, n.fs(), n.systemd())
		}
		for d, p := range map[Driver]string{Cgroupfs: tc.fs, Systemd: tc.systemd} {
			if got := podOf(filepath.Base(p), d); got != uid {
				t.Errorf("podOf(%s) = %q", p, got)
			}
		}
	}
	for _, other := range []string{"burstable", "kubepods-burstable.slice", "cpu.shares"} {
		if got := podOf(other, Cgroupfs); got != "" {
			t.Errorf("podOf(%s) = %q", other, got)
		}
	}
}

func TestPodLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want limits
	}{
		"best effort":            {testPod(req(nil, nil)), limits{shares: 2, quota: -1, memory: -1}},
		"guaranteed":             {testPod(req(list("cpu", "100m", "memory", "1Mi"), list("cpu", "100m", "memory", "1Mi"))), limits{shares: 102, quota: 10000, memory: 1 << 20}},
		"one without limits":     {testPod(req(list("cpu", "1"), list("cpu", "2", "memory", "1Mi")), req(list("cpu", "1"), nil)), limits{shares: 2048, quota: -1, memory: -1}},
		"one without cpu limits": {testPod(req(list("cpu", "1"), list("memory", "1Mi")), req(nil, list("cpu", "1", "memory", "1Mi"))), limits{shares: 1024, quota: -1, memory: 2 << 20}},
		"tiny":                   {testPod(req(list("cpu", "1m"), list("cpu", "1m"))), limits{shares: 2, quota: 1000, memory: -1}},
	} {
		if got := podLimits(tc.pod, false, nil); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestQOS(t *testing.T) {
	t.Parallel()
	both := list("cpu", "1", "memory", "1Mi")
	initPod := testPod(req(both, both))
	initPod.Spec.InitContainers = []corev1.Container{{Name: "i", Resources: req(list("cpu", "1"), nil)}}
	podLevel := testPod(req(nil, nil))
	podLevel.Spec.Resources = &corev1.ResourceRequirements{Requests: both, Limits: both}
	zero := testPod(req(list("cpu", "0"), list("memory", "0")))
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want corev1.PodQOSClass
	}{
		"nothing":          {testPod(req(nil, nil)), corev1.PodQOSBestEffort},
		"zero":             {zero, corev1.PodQOSBestEffort},
		"equal":            {testPod(req(both, both)), corev1.PodQOSGuaranteed},
		"limits only cpu":  {testPod(req(list("cpu", "1"), list("cpu", "1"))), corev1.PodQOSBurstable},
		"unequal":          {testPod(req(list("cpu", "1", "memory", "1Mi"), list("cpu", "2", "memory", "1Mi"))), corev1.PodQOSBurstable},
		"one of two":       {testPod(req(both, both), req(nil, nil)), corev1.PodQOSBurstable},
		"init counts":      {initPod, corev1.PodQOSBurstable},
		"pod level":        {podLevel, corev1.PodQOSGuaranteed},
		"other resources":  {testPod(req(list("ephemeral-storage", "1"), nil)), corev1.PodQOSBestEffort},
		"requests missing": {testPod(req(nil, both)), corev1.PodQOSBurstable},
	} {
		if got := ComputeQOS(tc.pod); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}
