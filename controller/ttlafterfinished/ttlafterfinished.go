// Package ttlafterfinished deletes Jobs that ended as long ago as their
// ttlSecondsAfterFinished says, with their pods.
package ttlafterfinished

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchlisters "k8s.io/client-go/listers/batch/v1"

	"proa/controller"
)

const workers = 5

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "ttl-after-finished-controller", ServiceAccount: "ttl-after-finished-controller", New: newController}
}

type ttl struct {
	env  controller.Env
	loop *controller.Loop[controller.Key]
	list batchlisters.JobLister
}

func newController(env controller.Env) (controller.Controller, error) {
	jobs := env.Informers.Batch().V1().Jobs()
	c := &ttl{env: env, list: jobs.Lister()}
	c.loop = controller.NewLoop("ttl-after-finished", env, workers, c.reconcile)
	return c, controller.Watch(c.loop, jobs.Informer(), controller.Self[*batchv1.Job])
}

// Run implements controller.Controller.
func (c *ttl) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// left is how long a job has still to live, if that is limited.
func left(j *batchv1.Job, now time.Time) (time.Duration, bool) {
	if j.Spec.TTLSecondsAfterFinished == nil || j.DeletionTimestamp != nil {
		return 0, false
	}
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == v1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Add(time.Duration(*j.Spec.TTLSecondsAfterFinished) * time.Second).Sub(now), true
		}
	}
	return 0, false
}

func (c *ttl) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	j, err := c.list.Jobs(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	now := c.env.Clock.Now()
	if wait, limited := left(j, now); !limited {
		return controller.Done, nil
	} else if wait > 0 {
		return controller.Again(wait), nil
	}
	// The time may have been changed since: ask the API before deleting.
	if j, err = c.env.Client.BatchV1().Jobs(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{}); err != nil {
		return controller.Done, err
	}
	if wait, limited := left(j, now); !limited || wait > 0 {
		return controller.Done, nil // its event is on the way
	}
	foreground := metav1.DeletePropagationForeground
	return controller.Done, c.env.Client.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{
		PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &j.UID, ResourceVersion: &j.ResourceVersion},
	})
}
