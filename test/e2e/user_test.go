package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"
)

// user works with a cluster: types at a kubectl, and waits for what the API
// tells. Each has a namespace of its own, so that many work side by side.
type user struct {
	*cluster
	t         *testing.T
	program   []string // the kubectl, with what stands before its arguments
	namespace string
	api       kubernetes.Interface
}

// user makes one with the project's own kubectl in a new namespace.
func (c *cluster) user(t *testing.T) *user {
	t.Helper()
	u := c.userIn(t, corev1.NamespaceDefault)
	ns, err := u.api.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.namespace = ns.Name
	return u
}

// userIn makes one in a namespace that is there.
func (c *cluster) userIn(t *testing.T, namespace string) *user {
	t.Helper()
	api, err := kubernetes.NewForConfig(c.access(t))
	if err != nil {
		t.Fatal(err)
	}
	u := c.typist(t, namespace)
	u.api = api
	return u
}

// access is the operator's way to the API server, from outside of the cluster's
// network namespace.
func (c *cluster) access(t *testing.T) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dial, cfg.QPS = c.dial, -1
	return cfg
}

// typist is a user who has nothing but a kubectl, and so can be made before
// the cluster is there.
func (c *cluster) typist(t *testing.T, namespace string) *user {
	return &user{cluster: c, t: t, program: []string{filepath.Join(c.bin, "kubectl")}, namespace: namespace}
}

// dial connects from inside the cluster's network namespace. A socket belongs
// to the namespace in which it was made, whoever uses it afterwards.
func (c *cluster) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = c.within(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// within calls f on a thread that is in the cluster's network namespace.
func (c *cluster) within(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and nobody
		// else gets one that is in another namespace.
		runtime.LockOSThread()
		done <- func() error {
			ns, err := os.Open("/run/netns/" + c.netns)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the network namespace: %w", err)
			}
			return f()
		}()
	}()
	return <-done
}

// kubectl runs kubectl, which must succeed.
func (u *user) kubectl(args ...string) string {
	u.t.Helper()
	return u.feed("", args...)
}

// feed runs kubectl with standard input.
func (u *user) feed(stdin string, args ...string) string {
	u.t.Helper()
	out, err := u.try(stdin, args...)
	if err != nil {
		u.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply creates what a manifest says.
func (u *user) apply(manifest string) {
	u.t.Helper()
	u.feed(manifest, "apply", "-f", "-")
}

func (u *user) try(stdin string, args ...string) (string, error) {
	line := u.line(args...)
	return u.command(stdin, line[0], line[1:]...)
}

// line is the command line of a kubectl in the user's namespace.
func (u *user) line(args ...string) []string {
	return append(append(append([]string{}, u.program...), "--namespace="+u.namespace), args...)
}

// want runs kubectl and checks that it prints every one of the texts.
func (u *user) want(texts []string, args ...string) {
	u.t.Helper()
	out := u.kubectl(args...)
	for _, s := range texts {
		if !strings.Contains(out, s) {
			u.t.Errorf("kubectl %s does not print %q:\n%s", strings.Join(args, " "), s, out)
		}
	}
}

// sh runs a shell script in the container c of a pod.
func (u *user) sh(pod, script string) string {
	u.t.Helper()
	return u.kubectl("exec", pod, "-c", "c", "--", "sh", "-c", script)
}

// pod waits until a pod is as wanted, and returns it.
func (u *user) pod(name, want string, is func(*corev1.Pod) bool) *corev1.Pod {
	u.t.Helper()
	return await(u, "pod "+name, want, u.podWatch(name), &corev1.Pod{}, is)
}

func (u *user) podWatch(name string) cache.ListerWatcher {
	return cache.NewListWatchFromClient(u.api.CoreV1().RESTClient(), "pods", u.namespace, fields.OneTermEqualSelector("metadata.name", name))
}

// gone waits until a pod is deleted, and returns all states that were seen.
func (u *user) gone(name string, meanwhile func()) []*corev1.Pod {
	u.t.Helper()
	var states []*corev1.Pod
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	uid, started := "", false
	var doing sync.WaitGroup
	defer doing.Wait()
	_, err := watchtools.UntilWithSync(ctx, u.podWatch(name), &corev1.Pod{}, nil, func(e watch.Event) (bool, error) {
		p, ok := e.Object.(*corev1.Pod)
		if !ok || uid != "" && uid != string(p.UID) {
			return false, nil
		}
		uid = string(p.UID)
		states = append(states, p)
		if !started {
			started = true
			doing.Go(meanwhile)
		}
		return e.Type == watch.Deleted, nil
	})
	if err != nil {
		u.t.Fatalf("pod %s does not go: %v; last seen: %s", name, err, summary(states[max(0, len(states)-1):]))
	}
	return states
}

// await waits until an object that lw shows is as wanted.
func await[T apiruntime.Object](u *user, what, want string, lw cache.ListerWatcher, example T, is func(T) bool) T {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	var last T
	_, err := watchtools.UntilWithSync(ctx, lw, example, nil, func(e watch.Event) (bool, error) {
		o, ok := e.Object.(T)
		if !ok || e.Type == watch.Deleted {
			return false, nil
		}
		last = o
		return is(o), nil
	})
	if err != nil {
		u.t.Fatalf("%s is not %s: %v; last seen: %s", what, want, err, summary(last))
	}
	return last
}

// summary is what one wants to know of an object that is not as it should be.
func summary(v any) string {
	if list, ok := v.([]*corev1.Pod); ok && len(list) > 0 {
		v = list[0]
	}
	if p, ok := v.(*corev1.Pod); ok && p != nil {
		return fmt.Sprintf("%s %s: %v %v", p.Status.Phase, p.Status.Reason, p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
	}
	return fmt.Sprintf("%+v", v)
}

// event waits for an event on an object and returns its message.
func (u *user) event(object, reason string, contains string) string {
	u.t.Helper()
	lw := cache.NewListWatchFromClient(u.api.CoreV1().RESTClient(), "events", u.namespace, fields.OneTermEqualSelector("involvedObject.name", object))
	e := await(u, "an event on "+object, reason+" "+contains, lw, &corev1.Event{}, func(e *corev1.Event) bool {
		return e.Reason == reason && strings.Contains(e.Message, contains)
	})
	return e.Message
}

// container is the status of a pod's container, an init container or another.
func container(p *corev1.Pod, name string) corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.Name == name {
				return s
			}
		}
	}
	return corev1.ContainerStatus{}
}

func waits(p *corev1.Pod, name, reason string) bool {
	w := container(p, name).State.Waiting
	return w != nil && w.Reason == reason
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func phase(want corev1.PodPhase) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return p.Status.Phase == want }
}
