package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/ptr"

	"proa/test/history"
)

// chaosLoad is what users do to a cluster while it fails, and what they were told.
type chaosLoad struct {
	u    fleetUser
	seed uint64

	mu           sync.Mutex
	states       map[string]*written // config maps by name
	changes      []history.Change    // those that were acknowledged
	acknowledged int
	unknown      int
}

// chaosWriters make config maps, chaosDeployments is how many deployments are
// scaled, and chaosMost how large.
const (
	chaosWriters     = 4
	chaosDeployments = 2
	chaosMost        = 8
)

func newChaosLoad(u fleetUser, seed uint64) *chaosLoad {
	return &chaosLoad{u: u, seed: seed, states: map[string]*written{}}
}

// run starts the users, who act until ctx ends.
func (l *chaosLoad) run(ctx context.Context, actors *sync.WaitGroup) {
	act := func(stream uint64, most time.Duration, f func(context.Context, *rand.Rand)) {
		r := rand.New(rand.NewPCG(l.seed, stream))
		actors.Go(func() {
			for ctx.Err() == nil {
				f(ctx, r)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(r.Int64N(int64(most)))):
				}
			}
		})
	}
	for i := range uint64(chaosWriters) {
		n := 0
		act(300+i, 50*time.Millisecond, func(ctx context.Context, r *rand.Rand) {
			n++
			l.configMap(ctx, r, fmt.Sprintf("chaos-%d-%d", i, n))
		})
	}
	for i := range uint64(chaosDeployments) {
		act(400+i, time.Second, func(ctx context.Context, r *rand.Rand) { l.deployment(ctx, r, fmt.Sprintf("chaos-%d", i)) })
	}
	act(500, 2*time.Second, l.single)
}

// configMap is the life of one config map, until a change of it is not answered.
func (l *chaosLoad) configMap(ctx context.Context, r *rand.Rand, name string) {
	client := l.u.api.CoreV1().ConfigMaps("default")
	labels := map[string]string{"chaos": "yes"}
	change := func(state string, f func() (*corev1.ConfigMap, error)) bool {
		l.mu.Lock()
		s := l.states[name]
		if s == nil {
			s = &written{acknowledged: absent}
			l.states[name] = s
		}
		s.unclear = append(s.unclear, state)
		l.mu.Unlock()
		got, err := f()
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.unknown++
			return false
		}
		*s = written{acknowledged: state}
		l.acknowledged++
		if got != nil {
			rev, err := strconv.ParseInt(got.ResourceVersion, 10, 64)
			if err != nil {
				l.u.t.Errorf("%s was written at %q", name, got.ResourceVersion)
			}
			l.changes = append(l.changes, history.Change{Rev: rev, Namespace: "default", Name: name})
		}
		return true
	}
	// The answer of what was begun is waited for: the end of ctx ends the load.
	ctx = context.WithoutCancel(ctx)
	if !change("0", func() (*corev1.ConfigMap, error) {
		return client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"v": "0"}}, metav1.CreateOptions{})
	}) {
		return
	}
	for v := range r.IntN(4) {
		if !change(strconv.Itoa(v+1), func() (*corev1.ConfigMap, error) {
			return client.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"data":{"v":"%d"}}`, v+1), metav1.PatchOptions{})
		}) {
			return
		}
	}
	if r.IntN(2) == 0 {
		change(absent, func() (*corev1.ConfigMap, error) { return nil, client.Delete(ctx, name, metav1.DeleteOptions{}) })
	}
}

// chaosPod leaves a lost node at once.
func chaosPod(c corev1.Container) corev1.PodSpec {
	var tolerations []corev1.Toleration
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerations = append(tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To(int64(1))})
	}
	c.Name, c.Image = "c", "proa.local/hello:1"
	return corev1.PodSpec{Tolerations: tolerations, TerminationGracePeriodSeconds: ptr.To(int64(1)), Containers: []corev1.Container{c}}
}

// deployment makes, scales, rolls or removes a deployment. What it is like in the
// end does not matter, but that it is there as it is asked for.
func (l *chaosLoad) deployment(ctx context.Context, r *rand.Rand, name string) {
	client := l.u.api.AppsV1().Deployments("default")
	labels := map[string]string{"chaos": name}
	var err error
	switch what := r.IntN(6); what {
	case 0:
		err = client.Delete(ctx, name, metav1.DeleteOptions{})
	case 1:
		_, err = client.Patch(ctx, name, types.StrategicMergePatchType, fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"v":"%d"}}}}}`, r.IntN(1000)), metav1.PatchOptions{})
	default:
		_, err = client.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, r.IntN(chaosMost)), metav1.PatchOptions{})
	}
	if !apierrors.IsNotFound(err) {
		return
	}
	// Two nodes hold fewer than are asked for at most.
	pod := chaosPod(corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("350m")}}})
	_, _ = client.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(r.IntN(chaosMost))), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
	}}, metav1.CreateOptions{}) // it is looked at again
}

// singleScript begins as the one process of its identity. It sees the processes of
// the machine, which all nodes share, and tells when the one before it lives.
const singleScript = `old=$(cat /shared/pid 2>/dev/null)
if [ -n "$old" ] && grep -q one-and-only /proc/$old/cmdline 2>/dev/null; then echo "process $old lives, and $$ begins in $HOSTNAME" >> /shared/twice; fi
echo $$ > /shared/pid; echo $$ >> /shared/begun
exec sh -c 'trap "exit 0" TERM; while :; do sleep 3600 & wait; done' one-and-only`

func (l *chaosLoad) shared() string { return filepath.Join(l.u.dir, "shared") }

// single makes a StatefulSet of one pod, and deletes the pod at times: what is one by
// its name must never run twice at once.
func (l *chaosLoad) single(ctx context.Context, r *rand.Rand) {
	if r.IntN(4) == 0 {
		_ = l.u.api.CoreV1().Pods("default").Delete(ctx, "single-0", metav1.DeleteOptions{}) // gracefully, never by force
		return
	}
	l.makeSingle(ctx)
}

func (l *chaosLoad) makeSingle(ctx context.Context) {
	if err := os.MkdirAll(l.shared(), 0o755); err != nil {
		l.u.t.Error(err)
	}
	labels := map[string]string{"chaos": "single"}
	pod := chaosPod(corev1.Container{Command: []string{"sh", "-c", singleScript}, VolumeMounts: []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}})
	pod.HostPID = true
	pod.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: l.shared()}}}}
	_, _ = l.u.api.AppsV1().StatefulSets("default").Create(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "single"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(int32(1)), ServiceName: "single", Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
	}}, metav1.CreateOptions{}) // mostly it exists
}

// once checks that the identity was run, and never twice at once.
func (l *chaosLoad) once() {
	l.u.t.Helper()
	if b, err := os.ReadFile(filepath.Join(l.shared(), "twice")); err == nil {
		l.u.t.Errorf("an identity ran twice at once:\n%s", b)
	}
	if _, err := os.Stat(filepath.Join(l.shared(), "begun")); err != nil {
		l.u.t.Errorf("the identity was never run: %v", err)
	}
}

// verify compares what was acknowledged with what is there.
func (l *chaosLoad) verify() {
	l.u.t.Helper()
	list, err := l.u.api.CoreV1().ConfigMaps("default").List(l.u.t.Context(), metav1.ListOptions{LabelSelector: "chaos=yes"})
	if err != nil {
		l.u.t.Fatal(err)
	}
	is := map[string]string{}
	for i := range list.Items {
		is[list.Items[i].Name] = list.Items[i].Data["v"]
	}
	for name, s := range l.states {
		now, ok := is[name]
		if !ok {
			now = absent
		}
		if now != s.acknowledged && !slices.Contains(s.unclear, now) {
			l.u.t.Errorf("%s is %s; acknowledged was %s, and asked for since: %v", name, now, s.acknowledged, s.unclear)
		}
		delete(is, name)
	}
	for name := range is {
		l.u.t.Errorf("%s was never asked for", name)
	}
}

// converge waits until everything is as it is asked for.
func (l *chaosLoad) converge() {
	l.u.t.Helper()
	ctx, api := l.u.t.Context(), l.u.api
	// Little enough that it fits whatever was asked for before.
	for i := range chaosDeployments {
		_, err := api.AppsV1().Deployments("default").Patch(ctx, fmt.Sprintf("chaos-%d", i), types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			l.u.t.Fatal(err)
		}
	}
	l.makeSingle(ctx)
	eventually(l.u.t, func() string {
		deployments, err := api.AppsV1().Deployments("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for i := range deployments.Items {
			d := &deployments.Items[i]
			s, want := d.Status, *d.Spec.Replicas
			if s.ObservedGeneration != d.Generation || s.Replicas != want || s.UpdatedReplicas != want || s.AvailableReplicas != want {
				return fmt.Sprintf("deployment %s asks for %d and has %+v", d.Name, want, s)
			}
		}
		single, err := api.AppsV1().StatefulSets("default").Get(ctx, "single", metav1.GetOptions{})
		if err != nil || single.Status.ReadyReplicas != 1 || single.Status.ObservedGeneration != single.Generation {
			return fmt.Sprintf("the stateful set: %v %+v", err, single.Status)
		}
		pods := l.u.pods("chaos")
		for i := range pods {
			if p := &pods[i]; p.DeletionTimestamp != nil || !ready(p) {
				return fmt.Sprintf("pod %s on %s is not as it should be: %s", p.Name, p.Spec.NodeName, summary(p))
			}
		}
		return ""
	})
}

// silence waits until nothing but heartbeats is written for a while.
func (l *chaosLoad) silence() {
	l.u.t.Helper()
	const quiet = 5 * time.Second
	client, err := metadata.NewForConfig(l.u.access(l.u.t))
	if err != nil {
		l.u.t.Fatal(err)
	}
	look := func() map[string]string {
		now := map[string]string{}
		for _, r := range []schema.GroupVersionResource{
			corev1.SchemeGroupVersion.WithResource("pods"), corev1.SchemeGroupVersion.WithResource("configmaps"), corev1.SchemeGroupVersion.WithResource("services"),
			corev1.SchemeGroupVersion.WithResource("endpoints"), corev1.SchemeGroupVersion.WithResource("namespaces"), corev1.SchemeGroupVersion.WithResource("serviceaccounts"),
			appsv1.SchemeGroupVersion.WithResource("replicasets"), appsv1.SchemeGroupVersion.WithResource("deployments"),
			appsv1.SchemeGroupVersion.WithResource("statefulsets"),
			discoveryv1.SchemeGroupVersion.WithResource("endpointslices"),
		} {
			list, err := client.Resource(r).List(l.u.t.Context(), metav1.ListOptions{})
			if err != nil {
				l.u.t.Fatal(err)
			}
			for i := range list.Items {
				o := &list.Items[i]
				now[r.Resource+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
			}
		}
		return now
	}
	was := look()
	eventually(l.u.t, func() string {
		time.Sleep(quiet)
		now := look()
		defer func() { was = now }()
		for what, version := range now {
			if was[what] != version {
				return "the cluster does not fall silent: " + what + " was written"
			}
		}
		if len(now) != len(was) {
			return "the cluster does not fall silent: something was removed"
		}
		return ""
	})
}
