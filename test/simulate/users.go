package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// user does at random what users do, in a namespace of its own.
type user struct {
	world  *world
	client kubernetes.Interface
	custom dynamic.Interface
	random *rand.Rand
	space  string
	bare   int
	jobs   int
	boats  int
}

// deploymentsEach is how many deployments a user has at most.
const deploymentsEach = 2

func (w *world) newUser(i int) *user {
	name := fmt.Sprintf("user-%d", i)
	return &user{world: w, client: w.clients(name), custom: w.dynamic(name), random: rand.New(rand.NewPCG(w.plan.seed, 100+uint64(i))), space: name}
}

// run acts until ctx ends.
func (u *user) run(ctx context.Context) {
	actions := []func(context.Context){
		u.createDeployment, u.createDeployment, u.scale, u.scale, u.roll, u.roll, u.deleteDeployment,
		u.createPod, u.createPod, u.deletePod, u.deleteSpace,
		u.createStatefulSet, u.changeStatefulSet, u.changeStatefulSet, u.deleteStatefulSet, u.toggleDaemonSet,
		u.createJob, u.createJob, u.deleteJob, u.createBoat, u.createBoat, u.changeBoat, u.deleteBoat,
	}
	for sleep(ctx, time.Duration(u.random.IntN(20_000))*time.Millisecond) == nil {
		_, _ = u.client.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: u.space}}, metav1.CreateOptions{})
		actions[u.random.IntN(len(actions))](ctx)
	}
}

// wrote checks that a write that was acknowledged has been made.
func (u *user) wrote(r schema.GroupVersionResource, o metav1.Object, err error) {
	if err != nil {
		return
	}
	u.wroteAt(definition(r).Key(o.GetNamespace(), o.GetName()), o.GetResourceVersion())
}

func (u *user) wroteAt(key, revision string) {
	rev, err := strconv.ParseInt(revision, 10, 64)
	if err != nil || !u.world.audit.wrote(key, rev) {
		u.world.failf("the write of %s at revision %q was acknowledged and is not in the store", key, revision)
	}
}

// forced notes that a pod is deleted without waiting for its node, so that what
// has its name may run beside it.
func (w *world) forced(pod types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.careless[pod] = true
}

func (u *user) deployment() string { return fmt.Sprintf("app-%d", u.random.IntN(deploymentsEach)) }

func (u *user) container() v1.Container {
	return v1.Container{Name: "main", Image: "proa.local/hello:1", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
		v1.ResourceCPU:    *resource.NewMilliQuantity(int64(100+u.random.IntN(1200)), resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(int64(64+u.random.IntN(1024))<<20, resource.BinarySI),
	}}}
}

func (u *user) createDeployment(ctx context.Context) {
	name := u.deployment()
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(u.random.IntN(6))), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: v1.PodSpec{Containers: []v1.Container{u.container()}}},
	}}
	if u.random.IntN(4) == 0 {
		d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	}
	got, err := u.client.AppsV1().Deployments(u.space).Create(ctx, d, metav1.CreateOptions{})
	u.wrote(deploysResource, got, err)
}

// change reads a deployment, changes it and writes it back.
func (u *user) change(ctx context.Context, f func(*appsv1.Deployment)) {
	deployments := u.client.AppsV1().Deployments(u.space)
	d, err := deployments.Get(ctx, u.deployment(), metav1.GetOptions{})
	if err != nil {
		return
	}
	f(d)
	got, err := deployments.Update(ctx, d, metav1.UpdateOptions{})
	u.wrote(deploysResource, got, err)
}

func (u *user) scale(ctx context.Context) {
	u.change(ctx, func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(int32(u.random.IntN(6))) })
}

func (u *user) roll(ctx context.Context) {
	u.change(ctx, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Env = []v1.EnvVar{{Name: "VERSION", Value: strconv.Itoa(u.random.IntN(4))}}
	})
}

func (u *user) deleteDeployment(ctx context.Context) {
	_ = u.client.AppsV1().Deployments(u.space).Delete(ctx, u.deployment(), u.anyhow())
}

func (u *user) createPod(ctx context.Context) {
	u.bare++
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bare-%d", u.bare)}, Spec: v1.PodSpec{Containers: []v1.Container{u.container()}}}
	if u.random.IntN(2) == 0 {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
	}
	got, err := u.client.CoreV1().Pods(u.space).Create(ctx, p, metav1.CreateOptions{})
	u.wrote(podsResource, got, err)
}

func (u *user) deletePod(ctx context.Context) {
	list, err := u.client.CoreV1().Pods(u.space).List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) == 0 {
		return
	}
	o, pod := metav1.DeleteOptions{}, &list.Items[u.random.IntN(len(list.Items))]
	if u.random.IntN(4) == 0 {
		o.GracePeriodSeconds, o.Preconditions = ptr.To[int64](0), metav1.NewUIDPreconditions(string(pod.UID))
		u.world.forced(pod.UID)
	}
	_ = u.client.CoreV1().Pods(u.space).Delete(ctx, pod.Name, o)
}

func (u *user) deleteSpace(ctx context.Context) {
	if u.random.IntN(3) == 0 {
		_ = u.client.CoreV1().Namespaces().Delete(ctx, u.space, metav1.DeleteOptions{})
	}
}

// tidy asks for little enough that it fits on the nodes whatever was asked for
// before. It is called once there are no faults, and returns an error where a
// request fails all the same.
func (u *user) tidy(ctx context.Context) error {
	pods, err := u.client.CoreV1().Pods(u.space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; metav1.GetControllerOf(p) == nil {
			_ = u.client.CoreV1().Pods(u.space).Delete(ctx, p.Name, metav1.DeleteOptions{})
		}
	}
	deployments, err := u.client.AppsV1().Deployments(u.space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		patch := []byte(`{"spec":{"replicas":1}}`)
		if d.DeletionTimestamp == nil {
			if _, err := u.client.AppsV1().Deployments(u.space).Patch(ctx, d.Name, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
	}
	sets, err := u.client.AppsV1().StatefulSets(u.space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range sets.Items {
		if s := &sets.Items[i]; s.DeletionTimestamp == nil {
			if _, err := u.client.AppsV1().StatefulSets(u.space).Patch(ctx, s.Name, "application/merge-patch+json", []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}
