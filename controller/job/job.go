package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
	"proa/controller/owned"
	"proa/controller/podcontrol"
)

const workers = 5

var kind = batchv1.SchemeGroupVersion.WithKind("Job")

// Definition of the controller of Jobs.
func Definition() controller.Definition {
	return controller.Definition{Name: "job-controller", ServiceAccount: "job-controller", New: newController}
}

type jobs struct {
	env     controller.Env
	loop    *controller.Loop[controller.Key]
	orphans *controller.Loop[controller.Key] // pods whose job may be gone
	list    batchlisters.JobLister
	pods    corelisters.PodLister
	expect  *controller.Expectations[controller.Key]
	control podcontrol.Control
	written controller.Written
}

func newController(env controller.Env) (controller.Controller, error) {
	core, batch := env.Informers.Core().V1(), env.Informers.Batch().V1()
	pods, err := owned.NewIndex[*v1.Pod](core.Pods().Informer())
	if err != nil {
		return nil, err
	}
	c := &jobs{
		env: env, list: batch.Jobs().Lister(), pods: core.Pods().Lister(),
		expect:  controller.NewExpectations[controller.Key](env.Clock),
		control: podcontrol.Control{Env: env, Kind: kind, Pods: pods},
	}
	c.loop = controller.NewLoop("job", env, workers, c.reconcile)
	c.orphans = controller.NewLoop("job-orphans", env, 1, c.releaseOrphan)
	if err := controller.Watch(c.loop, batch.Jobs().Informer(), controller.Self[*batchv1.Job]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		return c.control.Owners(c.expect, old, pod, deleted, c.candidates)
	}); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.orphans, batch.Jobs().Informer(), func(_, j *batchv1.Job, deleted bool) []controller.Key {
		if !deleted {
			return nil
		}
		var keys []controller.Key
		for _, p := range c.control.Pods.By(j.UID) {
			keys = append(keys, controller.Key{Namespace: p.Namespace, Name: p.Name})
		}
		return keys
	}); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.orphans, core.Pods().Informer(), func(_, p *v1.Pod, deleted bool) []controller.Key {
		if deleted || !tracked(p) || c.owner(p) != nil {
			return nil
		}
		return []controller.Key{{Namespace: p.Namespace, Name: p.Name}}
	})
}

// Run implements controller.Controller.
func (c *jobs) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var orphans error
	wg.Go(func() { orphans = c.orphans.Run(ctx) })
	err := c.loop.Run(ctx)
	wg.Wait()
	return errors.Join(err, orphans)
}

// candidates are the jobs that would adopt an orphan.
func (c *jobs) candidates(pod *v1.Pod) []controller.Key {
	list, err := c.list.GetPodJobs(pod)
	if err != nil {
		return nil // there are none
	}
	var keys []controller.Key
	for _, j := range list {
		keys = append(keys, controller.Key{Namespace: j.Namespace, Name: j.Name})
	}
	return keys
}

// foreign reports whether a job is left to another controller.
func foreign(j *batchv1.Job) bool {
	return j.Spec.ManagedBy != nil && *j.Spec.ManagedBy != batchv1.JobControllerName
}

func (c *jobs) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	settled := c.expect.Satisfied(key)
	j, err := c.list.Jobs(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.expect.Forget(key)
		c.written.Forget(key)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if foreign(j) || c.written.Unseen(key, j) {
		return controller.Done, nil
	}
	if finished(j) != nil {
		// Of a job that is over, nothing is counted any more.
		return controller.Done, c.release(ctx, c.control.Pods.By(j.UID))
	}
	if m := j.Spec.CompletionMode; m != nil && *m != batchv1.NonIndexedCompletion && *m != batchv1.IndexedCompletion {
		c.env.Events.Eventf(j, v1.EventTypeWarning, "UnknownCompletionMode", "Skipped Job sync because completion mode is unknown")
		return controller.Done, nil
	}
	pods, err := c.claim(ctx, j)
	if err != nil {
		return controller.Done, err
	}
	p := decide(view{job: j, pods: pods, now: c.env.Clock.Now(), settled: settled})
	failure := c.apply(ctx, key, j, &p)
	if err := c.write(ctx, key, j, &p); err != nil {
		return controller.Done, errors.Join(failure, err)
	}
	if err := errors.Join(failure, c.release(ctx, p.release)); err != nil {
		return controller.Done, err
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

// claim adopts and releases, and returns the pods of the job. What is adopted
// gets the finalizer too.
func (c *jobs) claim(ctx context.Context, j *batchv1.Job) ([]*v1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	if err != nil {
		return nil, err
	}
	pods, err := c.control.Claim(ctx, j, selector, func(ctx context.Context) (metav1.Object, error) {
		return c.env.Client.BatchV1().Jobs(j.Namespace).Get(ctx, j.Name, metav1.GetOptions{})
	})
	if err != nil {
		return nil, err
	}
	for i, p := range pods {
		if metav1.IsControlledBy(p, j) || tracked(p) {
			continue
		}
		// It has just been adopted, which the cache does not show yet.
		if err := c.patchFinalizer(ctx, p, "finalizers"); err != nil {
			return nil, err
		}
		pods[i] = p.DeepCopy()
		pods[i].Finalizers = append(pods[i].Finalizers, batchv1.JobTrackingFinalizer)
	}
	return pods, nil
}

// apply makes and removes pods. An error leaves the status as it was for the
// part that failed.
func (c *jobs) apply(ctx context.Context, key controller.Key, j *batchv1.Job, p *plan) error {
	if err := podcontrol.Each(p.stop, func(pod *v1.Pod) error {
		err := c.control.Delete(ctx, j, pod)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}); err != nil {
		return c.retract(j, p, err)
	}
	for _, pod := range p.remove {
		c.expect.ExpectDeletion(key, pod.UID)
	}
	if err := podcontrol.Each(p.remove, func(pod *v1.Pod) error {
		err := c.patchFinalizer(ctx, pod, "$deleteFromPrimitiveList/finalizers")
		if err == nil {
			err = c.control.Delete(ctx, j, pod)
		}
		if err != nil {
			c.expect.DeletionObserved(key, pod.UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}); err != nil {
		return c.retract(j, p, err)
	}
	return c.create(ctx, key, j, p)
}

// retract drops what a plan says of the job once pods could not be removed: it
// is decided anew from what there is then.
func (c *jobs) retract(j *batchv1.Job, p *plan, err error) error {
	p.status, p.release, p.events, p.create = j.Status, nil, nil, nil
	return err
}

func (c *jobs) create(ctx context.Context, key controller.Key, j *batchv1.Job, p *plan) error {
	if len(p.create) == 0 {
		return nil
	}
	c.expect.ExpectCreations(key, len(p.create))
	work := make(chan int, len(p.create))
	for _, i := range p.create {
		work <- i
	}
	made, err := podcontrol.SlowStart(len(p.create), func() error {
		index := <-work
		pod := c.control.New(j, &j.Spec.Template)
		complete(j, pod, index, p.replaces[index])
		return c.control.Create(ctx, j, pod)
	})
	for range len(p.create) - made {
		c.expect.CreationObserved(key)
	}
	p.status.Active += int32(made)
	return err
}

// write stores the status where it differs, and then records its events.
func (c *jobs) write(ctx context.Context, key controller.Key, j *batchv1.Job, p *plan) error {
	if equality.Semantic.DeepEqual(j.Status, p.status) {
		return nil
	}
	next := j.DeepCopy()
	next.Status = p.status
	now, err := c.env.Client.BatchV1().Jobs(j.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	c.written.Note(key, now)
	for _, e := range p.events {
		c.env.Events.Event(j, e.kind, e.reason, e.message)
	}
	return nil
}

// release removes the finalizers of pods that have been counted.
func (c *jobs) release(ctx context.Context, pods []*v1.Pod) error {
	return podcontrol.Each(pods, func(p *v1.Pod) error {
		if !tracked(p) {
			return nil
		}
		err := c.patchFinalizer(ctx, p, "$deleteFromPrimitiveList/finalizers")
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// patchFinalizer adds the finalizer ("finalizers") or removes it, by a directive
// of strategic merge patches.
func (c *jobs) patchFinalizer(ctx context.Context, p *v1.Pod, directive string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID, directive: []string{batchv1.JobTrackingFinalizer}}})
	if err != nil {
		return fmt.Errorf("encode a patch of finalizers: %w", err)
	}
	_, err = c.env.Client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
		// Another pod has its name by now.
		return apierrors.NewNotFound(v1.Resource("pods"), p.Name)
	}
	return err
}

// owner is the job that controls a pod, if the cache has it.
func (c *jobs) owner(p *v1.Pod) *batchv1.Job {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != batchv1.SchemeGroupVersion.String() {
		return nil
	}
	j, err := c.list.Jobs(p.Namespace).Get(ref.Name)
	if err != nil || j.UID != ref.UID {
		return nil
	}
	return j
}

// releaseOrphan removes the finalizer of a pod that no job will count.
func (c *jobs) releaseOrphan(ctx context.Context, key controller.Key) (controller.Result, error) {
	p, err := c.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	ref := metav1.GetControllerOfNoCopy(p)
	if ref != nil && (ref.Kind != kind.Kind || ref.APIVersion != batchv1.SchemeGroupVersion.String()) {
		return controller.Done, nil // some other controller counts in the same way
	}
	if !tracked(p) || c.owner(p) != nil {
		return controller.Done, nil
	}
	if ref != nil {
		// The cache of jobs may be behind that of pods.
		j, err := c.env.Client.BatchV1().Jobs(p.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return controller.Done, err
		}
		if err == nil && j.UID == ref.UID {
			return controller.Done, nil
		}
	}
	return controller.Done, c.release(ctx, []*v1.Pod{p})
}
