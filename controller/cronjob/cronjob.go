package cronjob

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchlisters "k8s.io/client-go/listers/batch/v1"

	"proa/controller"
	"proa/controller/owned"
)

const workers = 5

// Definition of the controller of CronJobs.
func Definition() controller.Definition {
	return controller.Definition{Name: "cronjob-controller", ServiceAccount: "cronjob-controller", New: newController}
}

type cronJobs struct {
	env     controller.Env
	loop    *controller.Loop[controller.Key]
	list    batchlisters.CronJobLister
	jobs    *owned.Index[*batchv1.Job]
	written controller.Written
}

func newController(env controller.Env) (controller.Controller, error) {
	api := env.Informers.Batch().V1()
	jobs, err := owned.NewIndex[*batchv1.Job](api.Jobs().Informer())
	if err != nil {
		return nil, err
	}
	c := &cronJobs{env: env, list: api.CronJobs().Lister(), jobs: jobs}
	c.loop = controller.NewLoop("cronjob", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, api.CronJobs().Informer(), c.changed); err != nil {
		return nil, err
	}
	return c, controller.Watch(c.loop, api.Jobs().Informer(), func(old, j *batchv1.Job, _ bool) []controller.Key {
		var keys []controller.Key
		for _, o := range []*batchv1.Job{old, j} {
			if o == nil {
				continue
			}
			if ref := metav1.GetControllerOfNoCopy(o); ref != nil && ref.Kind == kind.Kind && ref.APIVersion == batchv1.SchemeGroupVersion.String() {
				keys = append(keys, controller.Key{Namespace: o.Namespace, Name: ref.Name})
			}
		}
		return keys
	})
}

// Run implements controller.Controller.
func (c *cronJobs) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// changed names a cron job at once, unless its schedule has changed: then it
// waits for the next time. What the new schedule would have had in the past is
// not made up for.
func (c *cronJobs) changed(old, cron *batchv1.CronJob, deleted bool) []controller.Key {
	key := controller.Key{Namespace: cron.Namespace, Name: cron.Name}
	if old != nil && !deleted && (old.Spec.Schedule != cron.Spec.Schedule || !equality.Semantic.DeepEqual(old.Spec.TimeZone, cron.Spec.TimeZone)) {
		s, err := schedule(cron)
		if err != nil {
			c.env.Events.Eventf(cron, v1.EventTypeWarning, "UnParseableCronJobSchedule", "unparseable schedule for cronjob: %s", cron.Spec.Schedule)
			return nil
		}
		c.loop.AddAfter(key, untilNext(cron, s, c.env.Clock.Now()))
		return nil
	}
	return []controller.Key{key}
}

func (c *cronJobs) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	cron, err := c.list.CronJobs(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.written.Forget(key)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if c.written.Unseen(key, cron) {
		return controller.Done, nil
	}
	v := view{cron: cron, jobs: c.jobs.By(cron.UID), now: c.env.Clock.Now()}
	if err := c.ask(ctx, &v); err != nil {
		return controller.Done, err
	}
	p := decide(v)
	for _, e := range p.events {
		c.env.Events.Event(cron, e.kind, e.reason, e.message)
	}
	for _, j := range append(p.forget, p.replace...) {
		if err := c.remove(ctx, cron, j); err != nil {
			return controller.Done, err
		}
		p.drop(j.UID)
	}
	failure := c.start(ctx, cron, &p)
	if err := c.writeStatus(ctx, key, cron, p.status); err != nil {
		return controller.Done, err
	}
	if failure != nil {
		return controller.Done, failure
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

// ask completes a view with those of the active list that the cache does not
// have, which may only be behind.
func (c *cronJobs) ask(ctx context.Context, v *view) error {
	known := map[types.UID]bool{}
	for _, j := range v.jobs {
		known[j.UID] = true
	}
	v.gone = map[types.UID]bool{}
	for _, r := range v.cron.Status.Active {
		if known[r.UID] {
			continue
		}
		j, err := c.env.Client.BatchV1().Jobs(v.cron.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		switch {
		case err == nil && j.UID == r.UID:
			v.jobs = append(v.jobs, j)
		case err == nil || apierrors.IsNotFound(err):
			v.gone[r.UID] = true
		default:
			return err
		}
	}
	return nil
}

func (c *cronJobs) remove(ctx context.Context, cron *batchv1.CronJob, j *batchv1.Job) error {
	background := metav1.DeletePropagationBackground
	err := c.env.Client.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &j.UID}})
	switch {
	case err == nil:
		c.env.Events.Eventf(cron, v1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", j.Name)
	case apierrors.IsNotFound(err):
		return nil
	default:
		c.env.Events.Eventf(cron, v1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
	}
	return err
}

// start makes the job that is due and notes it in the status.
func (c *cronJobs) start(ctx context.Context, cron *batchv1.CronJob, p *plan) error {
	if p.start == nil {
		return nil
	}
	client := c.env.Client.BatchV1().Jobs(cron.Namespace)
	j, err := client.Create(ctx, p.start, metav1.CreateOptions{})
	switch {
	case err == nil:
		c.env.Events.Eventf(cron, v1.EventTypeNormal, "SuccessfulCreate", "Created job %v", j.Name)
	case apierrors.IsAlreadyExists(err):
		// It was made before a crash that came before the status was written,
		// or somebody else made it.
		if j, err = client.Get(ctx, p.start.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !metav1.IsControlledBy(j, cron) {
			return nil
		}
	case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
		return err
	default:
		c.env.Events.Eventf(cron, v1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return err
	}
	p.status.LastScheduleTime = &metav1.Time{Time: p.at}
	if ended(j) == "" {
		p.status.Active = append(p.status.Active, v1.ObjectReference{
			Kind: "Job", APIVersion: batchv1.SchemeGroupVersion.String(), Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion,
		})
	}
	return nil
}

func (c *cronJobs) writeStatus(ctx context.Context, key controller.Key, cron *batchv1.CronJob, s batchv1.CronJobStatus) error {
	if equality.Semantic.DeepEqual(cron.Status, s) {
		return nil
	}
	cron = cron.DeepCopy()
	cron.Status = s
	now, err := c.env.Client.BatchV1().CronJobs(cron.Namespace).UpdateStatus(ctx, cron, metav1.UpdateOptions{})
	if err == nil {
		c.written.Note(key, now)
	}
	return err
}
