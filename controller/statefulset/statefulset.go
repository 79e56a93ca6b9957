package statefulset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
	"proa/controller/owned"
	"proa/controller/podcontrol"
	"proa/controller/revision"
)

const (
	workers = 5
	// collisionTries bounds the search for a free name of a revision.
	collisionTries = 10
	hashLabel      = "controller.kubernetes.io/hash"
)

// Definition of the controller of StatefulSets.
func Definition() controller.Definition {
	return controller.Definition{Name: "statefulset-controller", ServiceAccount: "statefulset-controller", New: newController}
}

type statefulSets struct {
	env       controller.Env
	loop      *controller.Loop[controller.Key]
	sets      appslisters.StatefulSetLister
	claims    corelisters.PersistentVolumeClaimLister
	expect    *controller.Expectations[controller.Key]
	control   podcontrol.Control
	revisions revision.Control
}

func newController(env controller.Env) (controller.Controller, error) {
	core, apps := env.Informers.Core().V1(), env.Informers.Apps().V1()
	pods, err := owned.NewIndex[*v1.Pod](core.Pods().Informer())
	if err != nil {
		return nil, err
	}
	revisions, err := owned.NewIndex[*appsv1.ControllerRevision](apps.ControllerRevisions().Informer())
	if err != nil {
		return nil, err
	}
	c := &statefulSets{
		env: env, sets: apps.StatefulSets().Lister(), claims: core.PersistentVolumeClaims().Lister(),
		expect: controller.NewExpectations[controller.Key](env.Clock),
		control: podcontrol.Control{Env: env, Kind: kind, Pods: pods,
			Adopts: func(owner metav1.Object, pod *v1.Pod) bool { return ordinal(owner, pod) >= 0 }},
		revisions: revision.Control{Env: env, Kind: kind, Index: revisions, HashLabel: hashLabel},
	}
	c.loop = controller.NewLoop("statefulset", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, apps.StatefulSets().Informer(), controller.Self[*appsv1.StatefulSet]); err != nil {
		return nil, err
	}
	c.loop.Need(apps.ControllerRevisions().Informer(), core.PersistentVolumeClaims().Informer())
	return c, controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		return c.control.Owners(c.expect, old, pod, deleted, c.candidates)
	})
}

// Run implements controller.Controller.
func (c *statefulSets) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// candidates are the sets that would adopt an orphan.
func (c *statefulSets) candidates(pod *v1.Pod) []controller.Key {
	sets, err := c.sets.GetPodStatefulSets(pod)
	return controller.Keys(slices.DeleteFunc(sets, func(s *appsv1.StatefulSet) bool { return ordinal(s, pod) < 0 }), err)
}

func (c *statefulSets) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	settled := c.expect.Satisfied(key)
	set, err := c.sets.StatefulSets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.expect.Forget(key)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return controller.Done, err
	}
	live := func(ctx context.Context) (metav1.Object, error) {
		return c.env.Client.AppsV1().StatefulSets(set.Namespace).Get(ctx, set.Name, metav1.GetOptions{})
	}
	pods, err := c.control.Claim(ctx, set, selector, live)
	if err != nil {
		return controller.Done, err
	}
	v := view{set: set, pods: pods, now: c.env.Clock.Now(), settled: settled, claims: func(name string) *v1.PersistentVolumeClaim {
		claim, err := c.claims.PersistentVolumeClaims(set.Namespace).Get(name)
		if err != nil {
			return nil
		}
		return claim
	}}
	history, err := c.history(ctx, &v, selector, live)
	if err != nil {
		return controller.Done, err
	}
	p := decide(v)
	failure := c.apply(ctx, key, set, &p)
	if err := errors.Join(failure, c.writeStatus(ctx, set, p.status), c.revisions.Delete(ctx, forgotten(v, history))); err != nil {
		return controller.Done, err
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

func (c *statefulSets) writeStatus(ctx context.Context, set *appsv1.StatefulSet, s appsv1.StatefulSetStatus) error {
	if equality.Semantic.DeepEqual(set.Status, s) {
		return nil
	}
	set = set.DeepCopy()
	set.Status = s
	_, err := c.env.Client.AppsV1().StatefulSets(set.Namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{})
	return err
}

// history sets the current revision and the one to be updated to, which it
// records if it is new, and returns all, oldest first.
func (c *statefulSets) history(ctx context.Context, v *view, selector labels.Selector, live func(context.Context) (metav1.Object, error)) ([]*appsv1.ControllerRevision, error) {
	set := v.set
	list, err := c.revisions.Claim(ctx, set, selector, live)
	if err != nil {
		return nil, err
	}
	if set.Status.CollisionCount != nil {
		v.collisions = *set.Status.CollisionCount
	}
	data, err := revision.Data(&set.Spec.Template)
	if err != nil {
		return nil, err
	}
	var update *appsv1.ControllerRevision
	switch same, _ := revision.Split(list, data); {
	case len(same) > 0 && same[len(same)-1] == list[len(list)-1]:
		update = same[len(same)-1]
	case len(same) > 0:
		// The template of an earlier time is back.
		update, err = c.revisions.Renumber(ctx, same[len(same)-1], revision.Next(list))
	default:
		update, err = c.record(ctx, v, data, revision.Next(list))
	}
	if err != nil {
		return nil, err
	}
	v.update = template{update.Name, &set.Spec.Template}
	v.current = v.update
	for _, r := range list {
		if r.Name == set.Status.CurrentRevision && r.Name != update.Name {
			t, err := revision.Template(r)
			if err != nil {
				return nil, err
			}
			v.current = template{r.Name, t}
		}
	}
	return list, nil
}

// record keeps a new template, under a name that is free.
func (c *statefulSets) record(ctx context.Context, v *view, data []byte, number int64) (*appsv1.ControllerRevision, error) {
	for range collisionTries {
		r, err := c.revisions.Create(ctx, v.set, v.set.Spec.Template.Labels, data, number, &v.collisions)
		if !errors.Is(err, revision.ErrCollision) {
			return r, err
		}
		v.collisions++
	}
	return nil, revision.ErrCollision
}

// apply carries out a plan.
func (c *statefulSets) apply(ctx context.Context, key controller.Key, set *appsv1.StatefulSet, p *plan) error {
	for _, o := range p.own {
		if err := c.own(ctx, set, o); err != nil {
			return err
		}
	}
	for _, pod := range p.claims {
		if err := c.makeClaims(ctx, set, pod); err != nil {
			return err
		}
	}
	for _, pod := range p.identify {
		next := pod.DeepCopy()
		next.Labels = maps.Clone(pod.Labels)
		identify(set, next)
		_, err := c.env.Client.CoreV1().Pods(pod.Namespace).Update(ctx, next, metav1.UpdateOptions{})
		if err := c.report(set, "Update", pod, err); err != nil {
			return err
		}
	}
	return errors.Join(c.create(ctx, key, set, p.create), c.remove(ctx, key, set, p.remove))
}

func (c *statefulSets) own(ctx context.Context, set *appsv1.StatefulSet, o ownership) error {
	if o.conflict {
		c.env.Events.Eventf(set, v1.EventTypeWarning, "ConflictingController",
			"PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a managing controller, the retention policy is ignored for this claim", o.claim.Name)
	}
	claim := o.claim.DeepCopy()
	claim.OwnerReferences = o.owners
	_, err := c.env.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
	return err
}

// makeClaims makes the claims of a pod that are not there.
func (c *statefulSets) makeClaims(ctx context.Context, set *appsv1.StatefulSet, pod *v1.Pod) error {
	for _, claim := range claimsOf(set, pod) {
		is, err := c.claims.PersistentVolumeClaims(claim.Namespace).Get(claim.Name)
		if err == nil && is.DeletionTimestamp != nil {
			return c.report(set, "Create", pod, fmt.Errorf("pvc %s is being deleted", claim.Name))
		}
		if err == nil {
			continue
		}
		_, err = c.env.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{})
		switch {
		case apierrors.IsAlreadyExists(err):
		case err != nil:
			c.env.Events.Eventf(set, v1.EventTypeWarning, "FailedCreate", "Create Claim %s for Pod %s in StatefulSet %s failed error: %s", claim.Name, pod.Name, set.Name, err)
			return c.report(set, "Create", pod, fmt.Errorf("failed to create PVC %s: %w", claim.Name, err))
		default:
			c.env.Events.Eventf(set, v1.EventTypeNormal, "SuccessfulCreate", "Create Claim %s Pod %s in StatefulSet %s success", claim.Name, pod.Name, set.Name)
		}
	}
	return nil
}

func (c *statefulSets) create(ctx context.Context, key controller.Key, set *appsv1.StatefulSet, pods []*v1.Pod) error {
	c.expectCreations(key, len(pods))
	work := make(chan *v1.Pod, len(pods))
	for _, p := range pods {
		work <- p
	}
	made, err := podcontrol.SlowStart(len(pods), func() error {
		pod := <-work
		if err := c.makeClaims(ctx, set, pod); err != nil {
			return err
		}
		_, err := c.env.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
			// The cache has not seen the last one go, or this one come; or
			// everything here is going away.
			return err
		}
		return c.report(set, "Create", pod, err)
	})
	for range len(pods) - made {
		c.expect.CreationObserved(key)
	}
	return err
}

func (c *statefulSets) expectCreations(key controller.Key, n int) {
	if n > 0 {
		c.expect.ExpectCreations(key, n)
	}
}

func (c *statefulSets) remove(ctx context.Context, key controller.Key, set *appsv1.StatefulSet, pods []*v1.Pod) error {
	for _, pod := range pods {
		c.expect.ExpectDeletion(key, pod.UID)
	}
	return podcontrol.Each(pods, func(pod *v1.Pod) error {
		err := c.env.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		if err != nil {
			c.expect.DeletionObserved(key, pod.UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return c.report(set, "Delete", pod, err)
	})
}

// report records what was done to a pod, or that it could not be, and returns
// the error.
func (c *statefulSets) report(set *appsv1.StatefulSet, verb string, pod *v1.Pod, err error) error {
	if err == nil {
		c.env.Events.Eventf(set, v1.EventTypeNormal, "Successful"+verb, "%s Pod %s in StatefulSet %s successful", verb, pod.Name, set.Name)
		return nil
	}
	c.env.Events.Eventf(set, v1.EventTypeWarning, "Failed"+verb, "%s Pod %s in StatefulSet %s failed error: %s", verb, pod.Name, set.Name, err)
	return err
}
