package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"
)

// kills is how often TestKill kills the server: a few times in every run, as
// often as PROA_KILLS says in a long one.
func kills(t *testing.T) int {
	s := os.Getenv("PROA_KILLS")
	if s == "" {
		return 4
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("PROA_KILLS: %v", err)
	}
	return n
}

// seed of the moments at which TestKill kills. It is logged; PROA_SEED brings
// the same moments back.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("PROA_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("PROA_SEED: %v", err)
		}
	}
	t.Logf("PROA_SEED=%d", n)
	return n
}

// TestKill kills the whole process at any moment, while it is written to and
// while it starts. What was acknowledged is there afterwards; what ran goes on
// running; what was under way is brought to its end; and nothing is left over.
func TestKill(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(seed(t), 0))
	c := newCluster(t)
	u := c.userIn(t, corev1.NamespaceDefault)
	u.kubectl("apply", "-f", example(t, "hello-deployment.yaml"))
	u.kubectl("create", "deployment", "load", "--image=proa.local/hello:1", "--replicas=1")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=80s")
	u.kubectl("rollout", "status", "deployment/load", "--timeout=80s")
	steady := observeSteady(u)
	w := startWriters(u)
	watcher := startWatcher(u)
	for round := range kills(t) {
		moment := time.Duration(random.IntN(1500)) * time.Millisecond
		w.writeUntilKilled(moment)
		starts := 0
		if round%2 == 1 {
			starts = 1 + random.IntN(2)
		}
		for range starts {
			killStarting(u, time.Duration(random.IntN(800))*time.Millisecond)
		}
		c.up()
		t.Logf("round %d: killed after %v, and %d times while starting; %d writes acknowledged", round, moment, starts, w.acknowledged())
		w.verify()
		steady.verify(u)
		converges(u)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	watcher.verify(u)
	c.down()
	leavesNothing(t, c)
}

// killStarting starts a server and kills it after d, if it lives that long.
func killStarting(u *user, d time.Duration) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	// The configuration is the one with which the server was last brought up.
	cmd := u.inside(ctx, filepath.Join(u.bin, "proa"), "server", "--config", filepath.Join(u.dir, "d", "run", "config.yaml"))
	out, err := cmd.CombinedOutput() // the end of ctx kills
	if ctx.Err() == nil {
		u.t.Errorf("the server ended by itself: %v\n%s", err, tail(string(out), 5))
	}
}

// kill ends the server without warning, and returns when it is gone.
func (c *cluster) kill() {
	c.t.Helper()
	p := proc{pid: c.pid()}
	p.open(c.t)
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	p.ends(c.t)
}

// steady is a deployment that nobody touches: its containers must stay.
type steady struct {
	containers map[string]int32 // restarts by id
	processes  []proc
}

func observeSteady(u *user) steady {
	u.t.Helper()
	s := steady{containers: map[string]int32{}}
	pods := steadyPods(u)
	for i := range pods {
		p := &pods[i]
		s.containers[container(p, "hello").ContainerID] = container(p, "hello").RestartCount
		s.processes = append(s.processes, processOf(u, p))
	}
	if len(s.containers) != 3 {
		u.t.Fatalf("containers %v", s.containers)
	}
	return s
}

func steadyPods(u *user) []corev1.Pod {
	u.t.Helper()
	l, err := u.api.CoreV1().Pods(u.namespace).List(u.t.Context(), metav1.ListOptions{LabelSelector: "app=hello"})
	if err != nil {
		u.t.Fatal(err)
	}
	return l.Items
}

func (s steady) verify(u *user) {
	u.t.Helper()
	now := steadyPods(u)
	for i := range now {
		c := container(&now[i], "hello")
		if restarts, ok := s.containers[c.ContainerID]; !ok || restarts != c.RestartCount {
			u.t.Errorf("pod %s has another container: %+v", now[i].Name, c)
		}
	}
	if len(now) != len(s.containers) {
		u.t.Errorf("%d pods in place of %d", len(now), len(s.containers))
	}
	for _, p := range s.processes {
		if p.ended() {
			u.t.Errorf("process %d of a container was ended", p.pid)
		}
	}
}

// converges waits until what runs is what is wanted, in the API and in the
// runtime.
func converges(u *user) {
	u.t.Helper()
	for _, name := range []string{"hello", "load"} {
		lw := cache.NewListWatchFromClient(u.api.AppsV1().RESTClient(), "deployments", u.namespace, fields.OneTermEqualSelector("metadata.name", name))
		await(u, "deployment "+name, "complete", lw, &appsv1.Deployment{}, func(d *appsv1.Deployment) bool {
			s := d.Status
			return s.ObservedGeneration == d.Generation && s.Replicas == *d.Spec.Replicas && s.ReadyReplicas == s.Replicas && s.UpdatedReplicas == s.Replicas
		})
	}
	// A deployment may count as complete by a status that lags: a pod too many
	// may still go.
	eventually(u.t, func() string {
		pods, err := u.api.CoreV1().Pods(u.namespace).List(u.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for i := range pods.Items {
			if p := &pods.Items[i]; !ready(p) {
				return "pod " + p.Name + " is not ready: " + summary(p)
			}
		}
		return ""
	})
	inRuntime(u)
}
