package deployment

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	appslisters "k8s.io/client-go/listers/apps/v1"

	"proa/controller"
	"proa/controller/owned"
)

const workers = 5

var (
	deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")
	replicaSetKind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
)

// unseenWait is when a set that was made, but has not shown, is asked about again:
// it may have come and gone while nobody watched.
const unseenWait = time.Minute

type deployments struct {
	env    controller.Env
	loop   *controller.Loop[controller.Key]
	lister appslisters.DeploymentLister
	sets   *owned.Index[*appsv1.ReplicaSet]
	pods   *owned.Index[*v1.Pod]
	// written are this controller's own writes of sets, by the key of the set, that
	// its cache may lag behind. Counting sets as they were would miscount: one that
	// was just scaled up looks small, and another would be given the room that it
	// has taken.
	written controller.Written
	// made are sets that were created and are not in the cache yet. Another template
	// may have come meanwhile, whose set must not get the room of theirs.
	made *controller.Expectations[controller.Key]
}

// Definition of the deployment controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "deployment-controller", ServiceAccount: "deployment-controller", New: newController}
}

func newController(env controller.Env) (controller.Controller, error) {
	apps := env.Informers.Apps().V1()
	podInformer := env.Informers.Core().V1().Pods().Informer()
	sets, err := owned.NewIndex[*appsv1.ReplicaSet](apps.ReplicaSets().Informer())
	if err != nil {
		return nil, err
	}
	pods, err := owned.NewIndex[*v1.Pod](podInformer)
	if err != nil {
		return nil, err
	}
	c := &deployments{
		env: env, lister: apps.Deployments().Lister(), sets: sets, pods: pods, made: controller.NewExpectations[controller.Key](env.Clock),
	}
	c.loop = controller.NewLoop("deployment", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, apps.Deployments().Informer(), controller.Self[*appsv1.Deployment]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, apps.ReplicaSets().Informer(), c.ofSet); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, podInformer, c.ofPod); err != nil {
		return nil, err
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *deployments) Run(ctx context.Context) error { return c.loop.Run(ctx) }

func keyOf(rs *appsv1.ReplicaSet) controller.Key {
	return controller.Key{Namespace: rs.Namespace, Name: rs.Name}
}

func (c *deployments) ofSet(old, rs *appsv1.ReplicaSet, deleted bool) []controller.Key {
	var keys []controller.Key
	if deleted {
		c.written.Forget(keyOf(rs))
	}
	if old != nil && old.ResourceVersion == rs.ResourceVersion {
		return nil
	}
	for _, o := range []*appsv1.ReplicaSet{old, rs} {
		if o == nil {
			continue
		}
		if ref := metav1.GetControllerOfNoCopy(o); ref != nil && ref.Kind == deploymentKind.Kind {
			key := controller.Key{Namespace: o.Namespace, Name: ref.Name}
			if old == nil {
				c.made.CreationObserved(key)
			}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 && !deleted {
		all, err := c.lister.Deployments(rs.Namespace).List(labels.Everything())
		if err != nil {
			return nil
		}
		for _, d := range all {
			if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil && !s.Empty() && s.Matches(labels.Set(rs.Labels)) {
				keys = append(keys, controller.Key{Namespace: d.Namespace, Name: d.Name})
			}
		}
	}
	return keys
}

// ofPod wakes a deployment that recreates when the last of its old pods goes.
func (c *deployments) ofPod(_, pod *v1.Pod, deleted bool) []controller.Key {
	if !deleted {
		return nil
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != replicaSetKind.Kind {
		return nil
	}
	rs, err := c.env.Informers.Apps().V1().ReplicaSets().Lister().ReplicaSets(pod.Namespace).Get(ref.Name)
	if err != nil {
		return nil
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil || owner.Kind != deploymentKind.Kind {
		return nil
	}
	d, err := c.lister.Deployments(pod.Namespace).Get(owner.Name)
	if err != nil || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	return []controller.Key{{Namespace: d.Namespace, Name: d.Name}}
}

func (c *deployments) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	d, err := c.lister.Deployments(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.made.Forget(key)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if !c.made.Satisfied(key) {
		return controller.Again(unseenWait), nil // or sooner, by the event of the set
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return controller.Done, fmt.Errorf("selector of deployment %s: %w", key, err)
	}
	if selector.Empty() {
		c.env.Events.Eventf(d, v1.EventTypeWarning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
		return controller.Done, nil
	}
	sets, err := c.claim(ctx, d, selector)
	if err != nil {
		return controller.Done, err
	}
	if slices.ContainsFunc(sets, func(rs *appsv1.ReplicaSet) bool { return c.written.Unseen(keyOf(rs), rs) }) {
		return controller.Done, nil // the event of the write comes
	}
	v := &view{d: d, sets: sets, now: c.env.Clock.Now()}
	v.oldPods = c.oldPods(d, sets)
	p := decide(v)
	if err := c.apply(ctx, v, &p); err != nil {
		return controller.Done, err
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

// claim adopts and releases replica sets, and returns those that d owns.
func (c *deployments) claim(ctx context.Context, d *appsv1.Deployment, selector labels.Selector) ([]*appsv1.ReplicaSet, error) {
	claim := owned.Sort(d, selector, c.sets.By(d.UID), c.sets.Orphans(d.Namespace))
	sets := claim.Keep
	client := c.env.Client.AppsV1()
	if len(claim.Adopt) > 0 {
		live, err := client.Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		if live.UID != d.UID || live.DeletionTimestamp != nil {
			return nil, fmt.Errorf("deployment %s/%s is gone or being deleted; it adopts nothing", d.Namespace, d.Name)
		}
	}
	patch := func(rs *appsv1.ReplicaSet, data []byte, err error) error {
		if err != nil {
			return err
		}
		_, err = client.ReplicaSets(rs.Namespace).Patch(ctx, rs.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
			return nil
		}
		return err
	}
	for _, rs := range claim.Adopt {
		data, err := owned.AdoptPatch(d, deploymentKind, rs.UID)
		if err := patch(rs, data, err); err != nil {
			return nil, err
		}
		sets = append(sets, rs)
	}
	for _, rs := range claim.Release {
		data, err := owned.ReleasePatch(d, rs.UID)
		if err := patch(rs, data, err); err != nil {
			return nil, err
		}
	}
	return sets, nil
}

// oldPods reports whether a pod of an old set may still run: for a deployment
// that recreates, the new ones wait for it.
func (c *deployments) oldPods(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) bool {
	if d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return false
	}
	fresh := newSet(d, sets)
	for _, rs := range sets {
		if fresh != nil && rs.UID == fresh.UID {
			continue
		}
		for _, p := range c.pods.By(rs.UID) {
			if p.Status.Phase != v1.PodFailed && p.Status.Phase != v1.PodSucceeded {
				return true
			}
		}
	}
	return false
}
