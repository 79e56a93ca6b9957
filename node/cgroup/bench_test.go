package cgroup

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/uuid"
)

// BenchmarkPodCgroup makes, limits and removes one pod's cgroup.
func BenchmarkPodCgroup(b *testing.B) {
	m, err := New(Config{Root: "proa-bench-" + string(uuid.NewUUID())[:8], Allocatable: list("cpu", "2", "memory", "1Gi")})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = m.Destroy() })
	if err := m.Start(); err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		pod := testPod(req(list("cpu", "100m", "memory", "16Mi"), list("cpu", "200m", "memory", "32Mi")))
		if _, err := m.EnsurePod(pod); err != nil {
			b.Fatal(err)
		}
		if err := m.RemovePod(pod.UID); err != nil {
			b.Fatal(err)
		}
	}
}
