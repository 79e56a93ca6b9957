package rest

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/apiserver/request"
	"proa/cache"
	"proa/resource"
	"proa/store"
)

// Delete removes one object, or begins to: an object with a grace period or
// with something that holds it gets a deletion timestamp first. removed tells
// which of the two happened. The options belong to the call and may be
// completed.
func (a *API) Delete(ctx context.Context, c *request.Call, o *metav1.DeleteOptions) (r *Result, removed bool, err error) {
	return a.delete(ctx, c, o, true)
}

// DeleteUnchecked is Delete without admission, for a deletion on behalf of a
// request that has been admitted as another.
func (a *API) DeleteUnchecked(ctx context.Context, c *request.Call, o *metav1.DeleteOptions) (r *Result, removed bool, err error) {
	return a.delete(ctx, c, o, false)
}

func (a *API) delete(ctx context.Context, c *request.Call, o *metav1.DeleteOptions, checked bool) (r *Result, removed bool, err error) {
	d := c.Match.Definition
	cached := a.Hub.Cache(d)
	ns := c.Namespace
	if d.ClusterScoped {
		ns = ""
	}
	e, _, err := cached.Get(ctx, ns, c.Name, cache.Any, 0)
	fresh := false
	if errors.Is(err, cache.ErrNotFound) {
		e, err = cached.Fresh(ctx, ns, c.Name)
		fresh = true
	}
	for {
		if err != nil {
			return nil, false, failure(d, c.Name, err)
		}
		// Options are completed while the object is looked at; begin each
		// attempt with those of the client.
		r, removed, now, failed := a.remove(ctx, c, cached, e, o.DeepCopy(), checked)
		if failed == nil {
			return r, removed, nil
		}
		switch {
		case errors.Is(failed, store.ErrConflict) || errors.Is(failed, store.ErrNotFound):
			e, err, fresh = now, nil, true
			if e == nil {
				e, err = cached.Fresh(ctx, ns, c.Name)
			}
		case errors.Is(failed, store.ErrUncertain):
			// It may have been made, and then another attempt finds nothing.
			return nil, false, failed
		case !fresh:
			latest, ferr := cached.Fresh(ctx, ns, c.Name)
			if ferr == nil && latest.Revision == e.Revision {
				return nil, false, failed
			}
			e, err, fresh = latest, ferr, true
		default:
			return nil, false, failed
		}
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
	}
}

// remove makes one attempt to delete old. On a conflict it returns the present
// entry, where the store told it, and an error of the store.
func (a *API) remove(ctx context.Context, c *request.Call, cached *cache.Cache, old *cache.Entry, o *metav1.DeleteOptions, checked bool) (*Result, bool, *cache.Entry, error) {
	d := cached.Definition
	if err := preconditions(d, old.Object, o.Preconditions); err != nil {
		return nil, false, nil, err
	}
	if why := d.Keep(old.Object); why != "" {
		return nil, false, nil, apierrors.NewForbidden(d.GroupResource(), old.Name, errors.New(why))
	}
	if checked {
		at := attributes(c, admission.Delete, isDryRun(o.DryRun))
		was, err := asAsked(c, old.Object)
		if err != nil {
			return nil, false, nil, err
		}
		at.Name, at.Old, at.Options = old.Name, was, o
		if err := a.admit(ctx, a.Admission.Mutate, at); err != nil {
			return nil, false, nil, err
		}
		if err := a.admit(ctx, a.Admission.Validate, at); err != nil {
			return nil, false, nil, err
		}
	}
	p := decideDeletion(c.Request(), d, old.Object, o)
	dry := isDryRun(o.DryRun)
	switch {
	case p.pending:
		return a.deleted(d, old.Object, old), false, nil, nil
	case p.held:
		return &Result{Entry: old, Object: old.Object}, false, nil, nil
	case p.update != nil && dry:
		return &Result{Object: p.update}, false, nil, nil
	case p.update != nil:
		e, err := cached.Update(ctx, old, p.update, d.TTL(p.update))
		if err != nil {
			return nil, false, e, wrapStore(d, old.Name, err)
		}
		a.settle(ctx, d, e)
		return &Result{Entry: e, Object: e.Object}, false, nil, nil
	case dry:
		return a.deleted(d, old.Object, old), true, nil, nil
	}
	gone, err := cached.Delete(ctx, old)
	if err != nil {
		return nil, false, gone, wrapStore(d, old.Name, err)
	}
	a.release(ctx, d, old.Object)
	a.settle(ctx, d, gone)
	return a.deleted(d, gone.Object, gone), true, nil, nil
}

// wrapStore keeps errors that the caller handles, and translates the others.
func wrapStore(d *resource.Definition, name string, err error) error {
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return err
	}
	return failure(d, name, err)
}

// deleted is the answer to a deletion: the object for kinds that say so,
// otherwise a status that names it.
func (a *API) deleted(d *resource.Definition, obj resource.Object, e *cache.Entry) *Result {
	if d.ReturnDeleted {
		return &Result{Entry: e, Object: obj}
	}
	return &Result{Object: obj, Status: &metav1.Status{
		Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{
			Name: obj.GetName(), Group: d.Storage.Group, Kind: d.Plural, UID: obj.GetUID(),
		},
	}}
}

// deletion is what is to be done about a request to delete an object.
type deletion struct {
	// pending: it is being deleted already, and not later than asked for.
	pending bool
	// held: its deletion was asked for before, and something still holds it.
	held bool
	// update is the object to store in place of removing it, or nil.
	update resource.Object
}

// decideDeletion decides whether an object goes at once, or is marked first
// since it has a grace period or something holds it.
func decideDeletion(req *resource.Request, d *resource.Definition, old resource.Object, o *metav1.DeleteOptions) deletion {
	if g := o.GracePeriodSeconds; g != nil && *g < 0 {
		one := int64(1)
		o.GracePeriodSeconds = &one
	}
	var obj resource.Object
	change := func() resource.Object {
		if obj == nil {
			obj = old.DeepCopyObject().(resource.Object)
		}
		return obj
	}
	graceful := false
	if d.HasGraceful {
		switch t := old.GetDeletionTimestamp(); {
		case t == nil:
			if period := d.Graceful(old, o); period > 0 {
				at := metav1.NewTime(req.Now.Add(time.Duration(period) * time.Second)).Rfc3339Copy()
				mark(change(), at, period)
				d.MarkDeleted(req, obj)
				graceful = true
			}
		default:
			left := old.GetDeletionGracePeriodSeconds()
			if left == nil || *left == 0 {
				break // the grace period has been given up; remove it now
			}
			if o.GracePeriodSeconds == nil || *o.GracePeriodSeconds >= *left {
				return deletion{pending: true}
			}
			period := *o.GracePeriodSeconds
			if period == 0 && len(old.GetFinalizers()) == 0 && !d.Held(old) {
				return deletion{}
			}
			at := metav1.NewTime(t.Add(time.Duration(period-*left) * time.Second))
			if at.Time.Before(req.Now.Time) {
				at = metav1.Time{Time: req.Now.Time}.Rfc3339Copy()
				if period != 0 {
					period = 1
				}
			}
			change()
			obj.SetDeletionTimestamp(&at)
			obj.SetDeletionGracePeriodSeconds(&period)
			graceful = true
		}
	}
	finalizers := finalizersFor(d, old, o)
	if !slices.Equal(finalizers, old.GetFinalizers()) {
		change().SetFinalizers(finalizers)
	}
	if graceful {
		return deletion{update: obj}
	}
	if len(finalizers) == 0 && !d.Held(old) {
		return deletion{}
	}
	if t := old.GetDeletionTimestamp(); t != nil && !t.After(req.Now.Time) && obj == nil &&
		old.GetDeletionGracePeriodSeconds() != nil && *old.GetDeletionGracePeriodSeconds() == 0 {
		return deletion{held: true}
	}
	change()
	if d.CleanUp != "" && old.GetDeletionTimestamp() == nil {
		// Nobody acts by its generation; it only waits.
		now := req.Now.Rfc3339Copy()
		obj.SetDeletionTimestamp(&now)
		d.MarkDeleted(req, obj)
		return deletion{update: obj}
	}
	if t := old.GetDeletionTimestamp(); t == nil {
		mark(obj, req.Now.Rfc3339Copy(), 0)
		d.MarkDeleted(req, obj)
	} else {
		if t.After(req.Now.Time) {
			now := req.Now.Rfc3339Copy()
			obj.SetDeletionTimestamp(&now)
		}
		zero := int64(0)
		obj.SetDeletionGracePeriodSeconds(&zero)
	}
	return deletion{update: obj}
}

// mark gives an object its deletion timestamp. From then on its controllers
// act differently, so the generation rises.
func mark(obj resource.Object, at metav1.Time, period int64) {
	obj.SetDeletionTimestamp(&at)
	obj.SetDeletionGracePeriodSeconds(&period)
	if g := obj.GetGeneration(); g > 0 {
		obj.SetGeneration(g + 1)
	}
}

// finalizersFor returns the finalizers with which the object is to be deleted:
// those it has, and the ones by which the garbage collector learns what to do
// with its dependents.
func finalizersFor(d *resource.Definition, old resource.Object, o *metav1.DeleteOptions) []string {
	has := func(f string) bool { return slices.Contains(old.GetFinalizers(), f) }
	orphan, foreground := false, false
	switch p := o.PropagationPolicy; {
	case o.OrphanDependents != nil:
		orphan = *o.OrphanDependents
	case p != nil:
		orphan = *p == metav1.DeletePropagationOrphan
		foreground = *p == metav1.DeletePropagationForeground
	case has(metav1.FinalizerOrphanDependents):
		orphan = true
	case has(metav1.FinalizerDeleteDependents):
		foreground = true
	default:
		orphan = d.OrphanByDefault
	}
	var out []string
	for _, f := range old.GetFinalizers() {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			out = append(out, f)
		}
	}
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	if d.CleanUp != "" && old.GetDeletionTimestamp() == nil && !has(d.CleanUp) {
		out = append(out, d.CleanUp)
	}
	// The same in another order is no change.
	if len(out) == len(old.GetFinalizers()) && !slices.ContainsFunc(out, func(f string) bool { return !has(f) }) {
		return old.GetFinalizers()
	}
	return out
}

// released reports whether an update has taken away the last thing that held
// an object whose deletion was asked for.
func released(d *resource.Definition, obj, old resource.Object) bool {
	g := old.GetDeletionGracePeriodSeconds()
	return len(obj.GetFinalizers()) == 0 && !d.Held(obj) &&
		old.GetDeletionTimestamp() != nil && (g == nil || *g == 0)
}

// maxParallelDeletes is how many objects of a collection are deleted at once.
const maxParallelDeletes = 4

// DeleteCollection deletes all objects that the query selects, each by the
// rules of Delete, and returns what was selected.
func (a *API) DeleteCollection(ctx context.Context, c *request.Call, q *query, o *metav1.DeleteOptions) (cache.ListResult, error) {
	list, err := a.list(ctx, c, q)
	if err != nil {
		return list, err
	}
	queue := make(chan *cache.Entry)
	failed := make(chan error, maxParallelDeletes)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := min(maxParallelDeletes, len(list.Entries))
	for range workers {
		go func() {
			var err error
			for e := range queue {
				if err != nil {
					continue // drain
				}
				one := a.Call(c, c.Match.Definition, "delete", "", e.Namespace, e.Name)
				one.Match, one.Path = c.Match, c.Path
				if _, _, err = a.Delete(ctx, one, o.DeepCopy()); apierrors.IsNotFound(err) {
					err = nil
				}
				if err != nil {
					cancel()
				}
			}
			failed <- err
		}()
	}
	if workers > 0 {
	feed:
		for _, e := range list.Entries {
			select {
			case queue <- e:
			case <-ctx.Done():
				break feed
			}
		}
	}
	close(queue)
	err = nil
	for range workers {
		if e := <-failed; e != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = e
		}
	}
	return list, err
}
