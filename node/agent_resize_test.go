package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The cgroups of a pod and its container follow a resize, up and down, and what is
// more than the node has waits; the container runs on.
func TestResizeOnContainerd(t *testing.T) {
	c := newCluster(t)
	sized := func(p *v1.Pod, cpu, memory string) {
		l := v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory)}
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: l, Limits: l.DeepCopy()}
	}
	c.create("resized", func(p *v1.Pod) { sized(p, "100m", "64Mi") })
	p := c.until("resized", "ready", ready)
	id := p.Status.ContainerStatuses[0].ContainerID
	resize := func(cpu, memory string) *v1.Pod {
		t.Helper()
		p, err := c.admin.CoreV1().Pods("default").Get(t.Context(), "resized", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sized(p, cpu, memory)
		if p, err = c.admin.CoreV1().Pods("default").UpdateResize(t.Context(), "resized", p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct{ cpu, memory, quota, bytes string }{
		{"200m", "128Mi", "20000", "134217728"},
		{"150m", "96Mi", "15000", "100663296"},
	} {
		asked := resize(tt.cpu, tt.memory)
		p := c.until("resized", "resized to "+tt.cpu, func(p *v1.Pod) bool {
			return p != nil && p.Status.ObservedGeneration == asked.Generation && !resizing(p) && len(p.Status.ContainerStatuses) == 1 &&
				p.Status.ContainerStatuses[0].Resources.Limits.Cpu().String() == tt.cpu
		})
		s := p.Status.ContainerStatuses[0]
		if s.Resources.Limits.Memory().String() != tt.memory || s.AllocatedResources.Memory().String() != tt.memory {
			t.Errorf("status: %+v", s)
		}
		if s.ContainerID != id || s.RestartCount != 0 {
			t.Errorf("another container runs: %s, restarted %d times", s.ContainerID, s.RestartCount)
		}
		for _, dir := range []string{"pod" + string(p.UID), "pod" + string(p.UID) + "/" + strings.TrimPrefix(id, "containerd://")} {
			quota, bytes := c.limits(dir)
			if quota != tt.quota || bytes != tt.bytes {
				t.Errorf("cgroup %s: CPU %s, memory %s, want %s and %s", dir, quota, bytes, tt.quota, tt.bytes)
			}
		}
	}
	resize("1000", "96Mi")
	p = c.until("resized", "put off", resizing)
	cond := p.Status.Conditions[len(p.Status.Conditions)-1]
	for _, it := range p.Status.Conditions {
		if it.Type == v1.PodResizePending {
			cond = it
		}
	}
	if cond.Reason != v1.PodReasonDeferred || !strings.HasPrefix(cond.Message, "Node didn't have enough resource: cpu, requested: 1000000, used: 0, capacity: ") {
		t.Errorf("condition %+v", cond)
	}
	if s := p.Status.ContainerStatuses[0]; s.AllocatedResources.Cpu().String() != "150m" || s.ContainerID != id {
		t.Errorf("status: %+v", s)
	}
}

func resizing(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodResizePending || c.Type == v1.PodResizeInProgress {
			return true
		}
	}
	return false
}

// limits reads CPU quota and memory limit of a cgroup below that of the pods.
func (c *cluster) limits(dir string) (quota, memory string) {
	c.t.Helper()
	read := func(patterns ...string) string {
		for _, pattern := range patterns {
			found, err := filepath.Glob(pattern)
			if err != nil {
				c.t.Fatal(err)
			}
			for _, path := range found {
				if b, err := os.ReadFile(path); err == nil {
					first, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
					return first
				}
			}
		}
		c.t.Errorf("none of %q", patterns)
		return ""
	}
	pods := c.runtime.CgroupParent + "/kubepods/" + dir
	return read("/sys/fs/cgroup/cpu"+pods+"/cpu.cfs_quota_us", "/sys/fs/cgroup"+pods+"/cpu.max"),
		read("/sys/fs/cgroup/memory"+pods+"/memory.limit_in_bytes", "/sys/fs/cgroup"+pods+"/memory.max")
}
