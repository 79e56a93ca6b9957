package core

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func waiting(name, reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
}

func running(name string, ready bool) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Ready: ready, Started: ptr.To(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func terminated(name, reason string, code, signal int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Signal: signal}}}
}

func TestPodStatusColumn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	crashed := running("a", true)
	crashed.RestartCount = 3
	crashed.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(now.Add(-5 * time.Minute))}
	always := ptr.To(corev1.ContainerRestartPolicyAlways)
	one := []corev1.Container{{Name: "a"}}
	two := []corev1.Container{{Name: "a"}, {Name: "b"}}
	ready := []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	deleted := ptr.To(metav1.NewTime(now))

	for name, c := range map[string]struct {
		pod                     corev1.Pod
		ready, status, restarts string
	}{
		"pending": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending}},
			"0/1", "Pending", "0"},
		"creating": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("a", "ContainerCreating")}}},
			"0/1", "ContainerCreating", "0"},
		"running after restarts": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{crashed}}},
			"1/1", "Running", "3 (5m ago)"},
		"crash loop": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: two}, Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{waiting("a", "CrashLoopBackOff"), running("b", true)}}},
			"1/2", "CrashLoopBackOff", "0"},
		"first init container": {
			corev1.Pod{Spec: corev1.PodSpec{InitContainers: two, Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{waiting("a", "PodInitializing"), waiting("b", "")}}},
			"0/1", "Init:0/2", "0"},
		"second init container": {
			corev1.Pod{Spec: corev1.PodSpec{InitContainers: two, Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{terminated("a", "Completed", 0, 0), running("b", false)}}},
			"0/1", "Init:1/2", "0"},
		"init container failed": {
			corev1.Pod{Spec: corev1.PodSpec{InitContainers: one, Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{terminated("a", "", 3, 0)}}},
			"0/1", "Init:ExitCode:3", "0"},
		"init container killed": {
			corev1.Pod{Spec: corev1.PodSpec{InitContainers: one, Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{terminated("a", "", 137, 9)}}},
			"0/1", "Init:Signal:9", "0"},
		"init container in a crash loop": {
			corev1.Pod{Spec: corev1.PodSpec{InitContainers: one, Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{waiting("a", "CrashLoopBackOff")}}},
			"0/1", "Init:CrashLoopBackOff", "0"},
		"sidecar counts": {
			corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "s", RestartPolicy: always}}, Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{running("s", true)}, ContainerStatuses: []corev1.ContainerStatus{running("a", true)}}},
			"2/2", "Running", "0"},
		"completed": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{terminated("a", "Completed", 0, 0)}}},
			"0/1", "Completed", "0"},
		"error": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{terminated("a", "Error", 1, 0)}}},
			"0/1", "Error", "0"},
		"one completed, one ready": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: two}, Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: ready, ContainerStatuses: []corev1.ContainerStatus{terminated("a", "Completed", 0, 0), running("b", true)}}},
			"1/2", "Running", "0"},
		"one completed, pod not ready": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: two}, Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{terminated("a", "Completed", 0, 0), running("b", true)}}},
			"1/2", "NotReady", "0"},
		"evicted": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}},
			"0/1", "Evicted", "0"},
		"terminating": {
			corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: deleted}, Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{running("a", true)}}},
			"1/1", "Terminating", "0"},
		"terminating on a lost node": {
			corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: deleted}, Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodRunning, Reason: "NodeLost"}},
			"0/1", "Unknown", "0"},
		"gated": {
			corev1.Pod{Spec: corev1.PodSpec{Containers: one}, Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated}}}},
			"0/1", "SchedulingGated", "0"},
	} {
		cells := podCells(&c.pod, now)
		if cells[1] != c.ready || cells[2] != c.status || cells[3] != c.restarts {
			t.Errorf("%s: got %v %v %q, want %v %v %q", name, cells[1], cells[2], cells[3], c.ready, c.status, c.restarts)
		}
	}
}

func TestPodWideColumns(t *testing.T) {
	t.Parallel()
	p := &corev1.Pod{
		Spec: corev1.PodSpec{NodeName: "n1", ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "x"}, {ConditionType: "y"}}},
		Status: corev1.PodStatus{
			PodIPs: []corev1.PodIP{{IP: "10.42.0.7"}}, NominatedNodeName: "n2",
			Conditions: []corev1.PodCondition{{Type: "y", Status: corev1.ConditionTrue}},
		},
	}
	got := podCells(p, time.Time{})[5:]
	want := []any{"10.42.0.7", "n1", "n2", "1/2"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("wide column %d is %v, want %v", i, got[i], want[i])
		}
	}
}
