package rest

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/admission"
	"proa/apiserver/request"
	"proa/cache"
	"proa/resource"
	"proa/store"
)

// Change makes the new object out of the present one, both of the stored
// version. live is nil where there is none; it is shared and must not be
// changed, and what is returned must not be live itself. Change may be called
// several times for one update.
type Change func(live resource.Object) (resource.Object, error)

// Modification is an update to be made by [API.Modify].
type Modification struct {
	Change Change
	// Hooks of the main resource or of the subresource that is written.
	Hooks *resource.UpdateHooks
	// CreateMissing: an object that is not there is created, as far as the
	// caller may do that.
	CreateMissing bool
	// RequireVersion: the object must carry the resourceVersion that it has.
	RequireVersion bool
	// Unchecked leaves out admission, for changes that the API server itself
	// makes on behalf of a request that has been admitted as another.
	Unchecked bool
	DryRun    bool
	// Options for admission: UpdateOptions, or CreateOptions when it creates.
	Options       runtime.Object
	CreateOptions *metav1.CreateOptions
	// AdmitObject is what admission sees in place of the object, for
	// subresources with a kind of their own. Nil: the object.
	AdmitObject func(obj resource.Object) runtime.Object
	// Admitted takes over into the object what mutators have made of that.
	Admitted func(obj resource.Object, admitted runtime.Object) error
}

// MainHooks are the update hooks of the main resource.
func MainHooks(m resource.Match) *resource.UpdateHooks {
	d, s := m.Definition, m.Served
	return &resource.UpdateHooks{
		PrepareUpdate: d.PrepareUpdate,
		ValidateUpdate: func(obj, old resource.Object) field.ErrorList {
			return append(d.ValidateUpdate(obj, old), validateServed(s, obj, old)...)
		},
		Warnings: d.Warnings,
	}
}

// Untouched are the hooks of changes that the API server makes itself, and
// which need no rules but its own.
var Untouched = &resource.UpdateHooks{
	PrepareUpdate:  func(*resource.Request, resource.Object, resource.Object) {},
	ValidateUpdate: func(_, _ resource.Object) field.ErrorList { return nil },
	Warnings:       func(_, _ resource.Object) []string { return nil },
}

// Modify changes one object: it reads it, changes it, takes it through
// admission and validation, and stores it if it is still the same; if not, it
// begins anew with what it has become.
//
// The first attempt uses what the cache holds. Only if that fails is the store
// asked, so that a refusal is never due to an old state.
func (a *API) Modify(ctx context.Context, c *request.Call, m Modification) (*Result, error) {
	d := c.Match.Definition
	cached := a.Hub.Cache(d)
	ns := c.Namespace
	if d.ClusterScoped {
		ns = ""
	}
	e, _, err := cached.Get(ctx, ns, c.Name, cache.Any, 0)
	fresh := false
	for {
		if err != nil && !errors.Is(err, cache.ErrNotFound) {
			return nil, failure(d, c.Name, err)
		}
		if e == nil && !fresh {
			e, err = cached.Fresh(ctx, ns, c.Name)
			fresh = true
			continue
		}
		var r *Result
		var failed error
		if e == nil {
			r, failed = a.createMissing(ctx, c, m)
			if apierrors.IsAlreadyExists(failed) {
				e, err = cached.Fresh(ctx, ns, c.Name)
				if e != nil {
					continue
				}
			}
			return r, failed
		}
		var now *cache.Entry
		r, now, failed = a.modify(ctx, c, cached, e, m)
		switch {
		case failed == nil && r.Entry == e && !fresh:
			// Nothing was changed, but of a state that may be old: what the write
			// asks for may have been undone since, above all just after a start.
			latest, ferr := cached.Fresh(ctx, ns, c.Name)
			if ferr == nil && latest.Revision == e.Revision {
				return r, nil
			}
			e, err, fresh = latest, ferr, true
		case failed == nil:
			return r, nil
		case errors.Is(failed, store.ErrConflict) || errors.Is(failed, store.ErrNotFound):
			// Somebody was faster. Go on with what there is now.
			e, err, fresh = now, nil, true
			if e == nil {
				e, err = cached.Fresh(ctx, ns, c.Name)
			}
		case errors.Is(failed, store.ErrUncertain):
			// It may have been made. Another attempt would meet that one, and
			// be refused in its place.
			return nil, failed
		case !fresh:
			// The failure may be due to an old state: look at the store once.
			latest, ferr := cached.Fresh(ctx, ns, c.Name)
			if ferr == nil && latest.Revision == e.Revision {
				return nil, failed
			}
			e, err, fresh = latest, ferr, true
		default:
			return nil, failed
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (a *API) createMissing(ctx context.Context, c *request.Call, m Modification) (*Result, error) {
	d := c.Match.Definition
	if !m.CreateMissing {
		return nil, apierrors.NewNotFound(d.GroupResource(), c.Name)
	}
	obj, err := m.Change(nil)
	if err != nil {
		return nil, err
	}
	if obj.GetUID() != "" {
		return nil, apierrors.NewConflict(d.GroupResource(), c.Name, errNoSuchUID{string(obj.GetUID())})
	}
	if err := a.mayCreate(ctx, c); err != nil {
		return nil, err
	}
	if err := a.beginCreate(c, obj); err != nil {
		return nil, err
	}
	r, err := a.finishCreate(ctx, c, obj, m.CreateOptions)
	if r != nil {
		r.Created = true
	}
	return r, err
}

type errNoSuchUID struct{ uid string }

func (e errNoSuchUID) Error() string {
	return "uid mismatch: the provided object specified uid " + e.uid + ", and no existing object was found"
}

// modify makes one attempt against old. On a conflict it returns the present
// entry, where the store told it, and an error of the store.
func (a *API) modify(ctx context.Context, c *request.Call, cached *cache.Cache, old *cache.Entry, m Modification) (r *Result, now *cache.Entry, err error) {
	d := c.Match.Definition
	was, err := asAsked(c, old.Object)
	if err != nil {
		return nil, nil, err
	}
	obj, err := m.Change(was)
	if err != nil {
		return nil, nil, err
	}
	if err := sameUID(d, old.Key, was, obj.GetUID()); err != nil {
		return nil, nil, err
	}
	at := attributes(c, admission.Update, m.DryRun)
	at.Object, at.Old, at.Options = obj, was, m.Options
	if m.AdmitObject != nil {
		at.Object, at.Old = m.AdmitObject(obj), m.AdmitObject(was)
	}
	if !m.Unchecked {
		if err := a.mutate(ctx, c, at, obj); err != nil {
			return nil, nil, err
		}
		if m.Admitted != nil {
			if err := m.Admitted(obj, at.Object); err != nil {
				return nil, nil, err
			}
		}
		dedupOwners(c, obj, true)
	}
	if err := checkVersion(d, obj, old, m.RequireVersion); err != nil {
		return nil, nil, err
	}
	if err := prepareUpdate(c, m.Hooks, obj, was); err != nil {
		return nil, nil, err
	}
	settle, err := a.allocate(ctx, d, obj, was, m.DryRun)
	if err != nil {
		return nil, nil, err
	}
	defer func() { settle(err) }()
	if err := validateUpdate(d, m.Hooks, obj, was); err != nil {
		return nil, nil, err
	}
	for _, w := range m.Hooks.Warnings(obj, was) {
		c.Warn(w)
	}
	if !m.Unchecked {
		if err := a.admit(ctx, a.Admission.Validate, at); err != nil {
			return nil, nil, err
		}
	}
	return a.replace(ctx, cached, obj, old, m.DryRun)
}

// checkVersion compares the resourceVersion of the new object with that of
// the old one, and takes the latter where the client left it out.
func checkVersion(d *resource.Definition, obj resource.Object, old *cache.Entry, required bool) error {
	rv := obj.GetResourceVersion()
	switch {
	case rv != "" && rv != "0":
		rev, err := strconv.ParseUint(rv, 10, 63)
		if err != nil {
			return invalidVersion(rv, err)
		}
		if int64(rev) != old.Revision {
			return modified(d, old.Name)
		}
	case required:
		// Upstream calls the resource a kind here.
		return apierrors.NewInvalid(schema.GroupKind{Group: d.Storage.Group, Kind: d.Plural}, old.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"),
		})
	default:
		obj.SetResourceVersion(old.Object.GetResourceVersion())
	}
	return nil
}

// prepareUpdate restores what no update may change, on any kind.
func prepareUpdate(c *request.Call, hooks *resource.UpdateHooks, obj, old resource.Object) error {
	if err := placeInNamespace(c, obj); err != nil {
		return err
	}
	obj.SetSelfLink("")
	hooks.PrepareUpdate(c.Request(), obj, old)
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	if t := old.GetCreationTimestamp(); !t.IsZero() {
		obj.SetCreationTimestamp(t)
	}
	if t := old.GetDeletionTimestamp(); !t.IsZero() {
		obj.SetDeletionTimestamp(t)
	}
	if g := old.GetDeletionGracePeriodSeconds(); g != nil && obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(g)
	}
	return nil
}

// replace stores obj in place of old, unless they are the same, or removes the
// object where the last thing that held it has gone.
func (a *API) replace(ctx context.Context, cached *cache.Cache, obj resource.Object, old *cache.Entry, dryRun bool) (*Result, *cache.Entry, error) {
	d := cached.Definition
	obj.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
	if released(d, obj, old.Object) {
		if dryRun {
			return &Result{Object: obj}, nil, nil
		}
		gone, err := cached.Delete(ctx, old)
		switch {
		case errors.Is(err, store.ErrConflict):
			return nil, gone, err
		case errors.Is(err, store.ErrNotFound):
			return &Result{Object: obj}, nil, nil
		case err != nil:
			return nil, nil, failure(d, old.Name, err)
		}
		a.release(ctx, d, obj)
		a.settle(ctx, d, gone)
		// The client gets the object that it sent, at its last revision.
		obj.SetResourceVersion(gone.Object.GetResourceVersion())
		return &Result{Object: obj}, nil, nil
	}
	stored, err := toStorage(d, obj)
	if err != nil {
		return nil, nil, err
	}
	encoded, same, err := a.encode(ctx, cached, stored, old)
	if err != nil {
		return nil, nil, err
	}
	if same {
		return &Result{Entry: old, Object: old.Object}, nil, nil
	}
	if dryRun {
		return &Result{Object: cached.AsStored(obj)}, nil, nil
	}
	e, err := cached.UpdateEncoded(ctx, old, stored, encoded, d.TTL(stored))
	if errors.Is(err, store.ErrTooLarge) && len(stored.GetManagedFields()) > 0 {
		stored.SetManagedFields(nil)
		e, err = cached.Update(ctx, old, stored, d.TTL(stored))
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil, e, err
	case errors.Is(err, store.ErrNotFound):
		return nil, nil, err
	case err != nil:
		return nil, nil, failure(d, old.Name, err)
	}
	a.settle(ctx, d, e)
	return &Result{Entry: e, Object: e.Object}, nil, nil
}

// encode returns what would be stored for obj, and whether that is there
// already, under the present key. Where only the times of managed fields differ,
// those of old are kept: such a write says nothing new.
func (a *API) encode(ctx context.Context, cached *cache.Cache, obj resource.Object, old *cache.Entry) (encoded []byte, same bool, err error) {
	fields := obj.GetManagedFields()
	if timesDiffer(fields, old.Object.GetManagedFields()) {
		obj.SetManagedFields(old.Object.GetManagedFields())
		if encoded, err = cached.Encode(obj); err != nil {
			return nil, false, apierrors.NewInternalError(err)
		}
		same = bytes.Equal(encoded, old.Stored())
		if !same {
			obj.SetManagedFields(fields)
		}
	}
	if !same {
		if encoded, err = cached.Encode(obj); err != nil {
			return nil, false, apierrors.NewInternalError(err)
		}
		same = bytes.Equal(encoded, old.Stored())
	}
	if !same {
		return encoded, false, nil
	}
	stale, err := cached.Stale(ctx, old)
	if err != nil {
		return nil, false, failure(cached.Definition, old.Name, err)
	}
	return encoded, !stale, nil
}

// timesDiffer reports whether two lists of managed fields are equal but for
// their times.
func timesDiffer(a, b []metav1.ManagedFieldsEntry) bool {
	if len(a) != len(b) {
		return false
	}
	differ := false
	for i := range a {
		x, y := &a[i], &b[i]
		if x.Manager != y.Manager || x.Operation != y.Operation || x.APIVersion != y.APIVersion ||
			x.Subresource != y.Subresource || x.FieldsType != y.FieldsType || (x.FieldsV1 == nil) != (y.FieldsV1 == nil) {
			return false
		}
		if x.FieldsV1 != nil && !bytes.Equal(x.FieldsV1.GetRawBytes(), y.FieldsV1.GetRawBytes()) {
			return false
		}
		if !x.Time.Equal(y.Time) {
			differ = true
		}
	}
	return differ
}
