package customresource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"proa/controller"
	"proa/resource/apiextensions"
)

// patience is how long to wait for objects that are being deleted, before the
// definition says what it waits for.
const patience = time.Minute

// Finalizer is the loop that deletes all objects of a definition that is being
// deleted, and then lets it go.
func Finalizer(c Config) controller.Definition {
	return controller.Definition{Name: "crd-finalizer", New: func(env controller.Env) (controller.Controller, error) {
		l := &finalizer{Config: c, env: env}
		l.loop = controller.NewLoop("crd-finalizer", env, 5, l.reconcile)
		return l, controller.Watch(l.loop, c.Definitions, func(_, d *crd, deleted bool) []controller.Key {
			if deleted || !toFinalize(d) {
				return nil
			}
			return []controller.Key{{Name: d.Name}}
		})
	}}
}

func toFinalize(d *crd) bool {
	return d.DeletionTimestamp != nil && slices.Contains(d.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer)
}

type finalizer struct {
	Config
	env  controller.Env
	loop *controller.Loop[controller.Key]
}

// Run implements controller.Controller.
func (l *finalizer) Run(ctx context.Context) error { return l.loop.Run(ctx) }

func (l *finalizer) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	obj, ok, err := l.Definitions.GetStore().GetByKey(key.Name)
	if err != nil || !ok || !toFinalize(obj.(*crd)) {
		return controller.Done, err
	}
	d := obj.(*crd).DeepCopy()
	d, err = l.tell(ctx, d, terminating(apiextensionsv1.ConditionTrue, "InstanceDeletionInProgress", "CustomResource deletion is in progress"))
	if d == nil || err != nil {
		return controller.Done, err
	}
	end := terminating(apiextensionsv1.ConditionFalse, "NeverEstablished", "resource was never established")
	if apiextensions.Is(d, apiextensionsv1.Established) {
		var failed error
		if end, failed = l.deleteAll(ctx, d); failed != nil {
			if _, err := l.tell(ctx, d, end); err != nil {
				return controller.Done, err
			}
			return controller.Done, failed
		}
	}
	d.Finalizers = slices.DeleteFunc(d.Finalizers, func(f string) bool { return f == apiextensionsv1.CustomResourceCleanupFinalizer })
	_, err = l.tell(ctx, d, end)
	return controller.Done, err
}

func terminating(s apiextensionsv1.ConditionStatus, reason, message string) condition {
	return condition{Type: apiextensionsv1.Terminating, Status: s, Reason: reason, Message: message}
}

// tell writes a condition. It returns nil where the definition has changed, or
// gone, meanwhile: an event follows.
func (l *finalizer) tell(ctx context.Context, d *crd, c condition) (*crd, error) {
	apiextensions.SetCondition(d, c, metav1.NewTime(l.env.Clock.Now()))
	now, err := l.Client.UpdateStatus(ctx, d, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil, nil
	}
	return now, err
}

// deleteAll deletes all objects, through the API so that admission sees it, and
// waits until they are gone. It returns the condition to tell, in either case.
func (l *finalizer) deleteAll(ctx context.Context, d *crd) (condition, error) {
	failed := func(reason, format string, err error) (condition, error) {
		return terminating(apiextensionsv1.ConditionTrue, reason, fmt.Sprintf(format, err)), err
	}
	objects, err := l.objects(d)
	if err != nil {
		return failed("InstanceDeletionFailed", "could not list instances: %v", err)
	}
	list, err := objects.List(ctx, metav1.ListOptions{})
	if err != nil {
		return failed("InstanceDeletionFailed", "could not list instances: %v", err)
	}
	namespaces := map[string]bool{}
	var errs []error
	for i := range list.Items {
		ns := list.Items[i].Namespace
		if namespaces[ns] {
			continue
		}
		namespaces[ns] = true
		if err := objects.Namespace(ns).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			errs = append(errs, err)
		}
	}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return failed("InstanceDeletionFailed", "could not issue all deletes: %v", err)
	}
	if len(namespaces) > 0 {
		if err := l.gone(ctx, objects); err != nil {
			return failed("InstanceDeletionCheck", "could not confirm zero CustomResources remaining: %v", err)
		}
	}
	return terminating(apiextensionsv1.ConditionFalse, "InstanceDeletionCompleted", "removed all instances"), nil
}

// objects reach the objects of a definition: in the version in which they are
// stored, if it is served, since no webhook has to convert them then.
func (l *finalizer) objects(d *crd) (metadata.Getter, error) {
	version := ""
	for _, v := range d.Spec.Versions {
		if v.Served && (version == "" || v.Storage) {
			version = v.Name
		}
	}
	if version != "" {
		return l.env.Metadata.Resource(schema.GroupVersionResource{Group: d.Spec.Group, Version: version, Resource: d.Status.AcceptedNames.Plural}), nil
	}
	return nil, errors.New("no version is served: serve one, so that its objects can be deleted")
}

// errRemaining says that something still holds objects.
var errRemaining = errors.New("timed out waiting for the condition")

// gone waits until there are no objects any more.
func (l *finalizer) gone(ctx context.Context, objects metadata.Getter) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errRemaining)
	defer cancel()
	for {
		list, err := objects.List(ctx, metav1.ListOptions{})
		if err != nil {
			return cause(ctx, err)
		}
		left := len(list.Items)
		if left == 0 {
			return nil
		}
		w, err := objects.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
		if err != nil {
			return cause(ctx, err)
		}
		for e := range w.ResultChan() {
			switch e.Type {
			case watch.Deleted:
				left--
			case watch.Added:
				left++
			}
			if left == 0 || e.Type == watch.Error {
				break
			}
		}
		w.Stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// cause prefers to say that the time is up.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
