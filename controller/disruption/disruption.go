package disruption

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"

	"proa/controller"
	"proa/controller/podstate"
)

const (
	workers = 2
	// uncountable budgets are looked at again after this long: what would
	// make them countable may be of a kind that is not watched.
	uncountable = 5 * time.Minute
)

// Definition of the disruption controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "disruption-controller", ServiceAccount: "disruption-controller", New: newController}
}

type disruption struct {
	env     controller.Env
	loop    *controller.Loop[controller.Key] // budgets
	marks   *controller.Loop[controller.Key] // pods with a condition to be withdrawn
	budgets policylisters.PodDisruptionBudgetLister
	pods    corelisters.PodLister

	replicationControllers corelisters.ReplicationControllerLister
	replicaSets            appslisters.ReplicaSetLister
	deployments            appslisters.DeploymentLister
	statefulSets           appslisters.StatefulSetLister
}

func newController(env controller.Env) (controller.Controller, error) {
	core, apps := env.Informers.Core().V1(), env.Informers.Apps().V1()
	budgets := env.Informers.Policy().V1().PodDisruptionBudgets()
	c := &disruption{
		env: env, budgets: budgets.Lister(), pods: core.Pods().Lister(),
		replicationControllers: core.ReplicationControllers().Lister(), replicaSets: apps.ReplicaSets().Lister(),
		deployments: apps.Deployments().Lister(), statefulSets: apps.StatefulSets().Lister(),
	}
	c.loop = controller.NewLoop("disruption", env, workers, c.reconcile)
	c.marks = controller.NewLoop("disruption-marks", env, 1, c.unmark)
	if err := controller.Watch(c.loop, budgets.Informer(), controller.Self[*policyv1.PodDisruptionBudget]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Pods().Informer(), c.budgetsOf); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.marks, core.Pods().Informer(), c.marked); err != nil {
		return nil, err
	}
	c.loop.Need(core.ReplicationControllers().Informer(), apps.ReplicaSets().Informer(),
		apps.Deployments().Informer(), apps.StatefulSets().Informer())
	return c, nil
}

// Run implements controller.Controller.
func (c *disruption) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var marks error
	wg.Go(func() { marks = c.marks.Run(ctx) })
	err := c.loop.Run(ctx)
	wg.Wait()
	return errors.Join(err, marks)
}

// budgetsOf names the budgets that an event on a pod concerns.
func (c *disruption) budgetsOf(old, pod *v1.Pod, _ bool) []controller.Key {
	keys := map[controller.Key]bool{}
	for _, p := range []*v1.Pod{old, pod} {
		if p == nil {
			continue
		}
		list, err := c.budgets.GetPodPodDisruptionBudgets(p)
		if err != nil {
			continue // it has none
		}
		for _, b := range list {
			keys[controller.Key{Namespace: b.Namespace, Name: b.Name}] = true
		}
		if fresh := old == nil || !maps.Equal(old.Labels, pod.Labels); p == pod && fresh && len(list) > 1 {
			c.env.Events.Eventf(pod, v1.EventTypeWarning, "MultiplePodDisruptionBudgets",
				"Pod %q/%q matches multiple PodDisruptionBudgets.  Chose %q arbitrarily.", pod.Namespace, pod.Name, list[0].Name)
		}
	}
	return slices.Collect(maps.Keys(keys))
}

func (c *disruption) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	b, err := c.budgets.PodDisruptionBudgets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	p, err := c.count(ctx, b)
	if err != nil {
		if next := failed(b, err); next != nil {
			if err := c.write(ctx, next); err != nil {
				return controller.Done, err
			}
		}
		c.env.Log.Info("a disruption budget cannot be counted and allows nothing", "budget", key, "err", err)
		return controller.Again(uncountable), nil
	}
	for _, pod := range p.undeleted {
		c.env.Events.Eventf(pod, v1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", b.Namespace, b.Name)
	}
	if p.budget != nil {
		if err := c.write(ctx, p.budget); err != nil {
			return controller.Done, err
		}
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

func (c *disruption) write(ctx context.Context, b *policyv1.PodDisruptionBudget) error {
	_, err := c.env.Client.PolicyV1().PodDisruptionBudgets(b.Namespace).UpdateStatus(ctx, b, metav1.UpdateOptions{})
	return err
}

// count reads what the budget is about and decides. An error says why it
// cannot be counted.
func (c *disruption) count(ctx context.Context, b *policyv1.PodDisruptionBudget) (plan, error) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		c.env.Events.Eventf(b, v1.EventTypeWarning, "NoPods", "Failed to get pods: %v", err)
		return plan{}, err
	}
	pods, err := c.pods.Pods(b.Namespace).List(selector)
	if err != nil {
		return plan{}, err
	}
	if len(pods) == 0 {
		c.env.Events.Eventf(b, v1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	asked := int32(0)
	if proportional(b) {
		if asked, err = c.asked(ctx, b, pods); err != nil {
			c.env.Events.Eventf(b, v1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
			return plan{}, err
		}
	}
	return decide(b, pods, asked, c.env.Clock.Now())
}

// asked is how many pods the owners of pods ask for, together.
func (c *disruption) asked(ctx context.Context, b *policyv1.PodDisruptionBudget, pods []*v1.Pod) (int32, error) {
	refs, unmanaged := owners(pods)
	if unmanaged > 0 {
		c.env.Events.Eventf(b, v1.EventTypeWarning, "UnmanagedPods", "Pods selected by this PodDisruptionBudget (selector: %v) were found "+
			"to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
			"To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.", b.Spec.Selector)
	}
	scale := map[types.UID]int32{}
	for _, ref := range refs {
		uid, n, err := c.scaleOf(ctx, b.Namespace, ref)
		if err != nil {
			return 0, err
		}
		scale[uid] = n // several sets may be of one deployment
	}
	sum := int32(0)
	for _, n := range scale {
		sum += n
	}
	return sum, nil
}

// marked names a pod whose condition DisruptionTarget may have to be withdrawn.
func (c *disruption) marked(_, pod *v1.Pod, deleted bool) []controller.Key {
	if wait, has := stale(pod, c.env.Clock.Now()); has && !deleted {
		c.marks.AddAfter(controller.Key{Namespace: pod.Namespace, Name: pod.Name}, wait)
	}
	return nil
}

// unmark withdraws the condition of a pod that was to be disrupted.
func (c *disruption) unmark(ctx context.Context, key controller.Key) (controller.Result, error) {
	pod, err := c.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	wait, has := stale(pod, now)
	if !has {
		return controller.Done, nil
	}
	if wait > 0 {
		return controller.Again(wait), nil
	}
	next := pod.DeepCopy()
	condition := podstate.Condition(next, v1.DisruptionTarget)
	*condition = v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionFalse, ObservedGeneration: pod.Generation,
		LastTransitionTime: metav1.NewTime(now),
	}
	_, err = c.env.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return controller.Done, err
}
