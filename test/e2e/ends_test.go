package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// testGracefulEnd: preStop runs first, then the container is told to end and
// does so in its own time.
func testGracefulEnd(u *user) {
	dir := u.t.TempDir()
	u.apply(onePod("trap 'echo told >> /h/order; exit 0' TERM; while :; do sleep 3600 & wait; done",
		`lifecycle: {preStop: {exec: {command: [sh, -c, "echo preStop >> /h/order"]}}}
    volumeMounts: [{name: h, mountPath: /h}]`, fmt.Sprintf("volumes: [{name: h, hostPath: {path: %s}}]", dir)))
	p := u.pod("p", "ready", ready)
	pid := processOf(u, p)
	var ended *corev1.ContainerStateTerminated
	for _, s := range u.gone("p", func() { _, _ = u.try("", "delete", "pod", "p", "--wait=false") }) {
		if e := container(s, "c").State.Terminated; e != nil {
			ended = e
		}
		if s.DeletionTimestamp != nil && (s.DeletionGracePeriodSeconds == nil || *s.DeletionGracePeriodSeconds > 30) {
			u.t.Errorf("grace period %v", s.DeletionGracePeriodSeconds)
		}
	}
	if ended == nil || ended.ExitCode != 0 || ended.Reason != "Completed" {
		u.t.Errorf("the end was told as %+v", ended)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "order")); err != nil || string(b) != "preStop\ntold\n" {
		u.t.Errorf("%q, %v", b, err)
	}
	pid.ends(u.t)
	u.event("p", "Killing", "Stopping container c")
}

// testGraceBounds: what does not end when it is told to is killed.
func testGraceBounds(u *user) {
	u.apply(onePod("trap : TERM; while :; do sleep 3600 & wait; done", "", ""))
	p := u.pod("p", "ready", ready)
	pid := processOf(u, p)
	begin := time.Now()
	var ended *corev1.ContainerStateTerminated
	for _, s := range u.gone("p", func() { _, _ = u.try("", "delete", "pod", "p", "--grace-period=2", "--wait=false") }) {
		if e := container(s, "c").State.Terminated; e != nil {
			ended = e
		}
	}
	if d := time.Since(begin); d < 2*time.Second {
		u.t.Errorf("gone after %v of 2s", d)
	}
	if ended == nil || ended.ExitCode != 137 {
		u.t.Errorf("the end was told as %+v", ended)
	}
	pid.ends(u.t)
}

// testForce: the object goes at once, whatever the container says to it, which
// follows.
func testForce(u *user) {
	u.apply(onePod("trap : TERM; while :; do sleep 3600 & wait; done", "", "terminationGracePeriodSeconds: 3600"))
	p := u.pod("p", "ready", ready)
	pid := processOf(u, p)
	u.want([]string{`pod "p" force deleted`}, "delete", "pod", "p", "--force", "--grace-period=0", "--wait=false")
	if out, err := u.try("", "get", "pod", "p"); err == nil || !strings.Contains(out, `pods "p" not found`) {
		u.t.Errorf("the pod is there: %v %s", err, out)
	}
	pid.ends(u.t)
}

func testEviction(u *user) {
	u.apply(onePod(forever, "", "terminationGracePeriodSeconds: 1"))
	p := u.pod("p", "ready", ready)
	eviction := func(uid types.UID) *policyv1.Eviction {
		return &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: u.namespace},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}}
	}
	if err := u.api.CoreV1().Pods(u.namespace).EvictV1(u.t.Context(), eviction("other")); err == nil {
		u.t.Error("a pod of another uid was evicted")
	}
	evicted := false
	for _, s := range u.gone("p", func() {
		if err := u.api.CoreV1().Pods(u.namespace).EvictV1(u.t.Context(), eviction(p.UID)); err != nil {
			u.t.Errorf("evict: %v", err)
		}
	}) {
		for _, c := range s.Status.Conditions {
			evicted = evicted || c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == "EvictionByEvictionAPI"
		}
	}
	if !evicted {
		u.t.Error("the pod was not told that it was evicted")
	}
}

// proc is a process on this machine that outlives the number it had.
type proc struct {
	pid int
	fd  int
}

// processOf finds the first process of a pod's first container: this machine's
// processes are the node's.
func processOf(u *user, p *corev1.Pod) proc {
	u.t.Helper()
	id := container(p, p.Spec.Containers[0].Name).ContainerID
	pids := processes(u, id)
	if len(pids) == 0 {
		u.t.Fatalf("container %s has no process", id)
	}
	o := proc{pid: pids[0]}
	o.open(u.t)
	return o
}

// open takes hold of the process with the number.
func (p *proc) open(t *testing.T) {
	t.Helper()
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", p.pid, err)
	}
	p.fd = fd
	t.Cleanup(func() { _ = unix.Close(fd) })
}

// processes of a container, in order of their numbers, told by their cgroups.
func processes(u *user, containerID string) []int {
	u.t.Helper()
	_, id, _ := strings.Cut(containerID, "://")
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		u.t.Fatal(err)
	}
	var out []int
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && id != "" && strings.Contains(string(b), id) {
			if pid, err := strconv.Atoi(strings.Split(f, "/")[2]); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// ends waits until the process has ended.
func (p proc) ends(t *testing.T) {
	t.Helper()
	if !p.endsWithin(patience) {
		t.Fatalf("process %d goes on", p.pid)
	}
}

func (p proc) ended() bool { return p.endsWithin(0) }

func (p proc) endsWithin(limit time.Duration) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}
