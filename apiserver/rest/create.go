package rest

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/apiserver/managed"
	"proa/apiserver/request"
	"proa/cache"
	"proa/resource"
	"proa/store"
)

// maxNames is how many generated names are tried before giving up.
const maxNames = 8

// errVersionOnCreate is not a status upstream either.
var errVersionOnCreate = errors.New("resourceVersion should not be set on objects to be created")

// Create stores a new object, which is in the served version with defaults.
// The object belongs to the API from then on. With dry run the result has
// everything but a resourceVersion.
func (a *API) Create(ctx context.Context, c *request.Call, obj resource.Object, o *metav1.CreateOptions) (*Result, error) {
	s := c.Match.Served
	if err := a.beginCreate(c, obj); err != nil {
		return nil, err
	}
	if a.Managed != nil {
		if err := a.Managed.Update(c.Match, "", nil, obj, managed.Manager(o.FieldManager, c.UserAgent), c.Now); err != nil {
			a.Log.Warn("managed fields were not recorded", "err", err)
		}
	}
	stored, err := s.From(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return a.finishCreate(ctx, c, stored, o)
}

// beginCreate clears what the server sets on every new object, and puts it
// into its namespace.
func (a *API) beginCreate(c *request.Call, obj resource.Object) error {
	wipe(obj)
	if err := placeInNamespace(c, obj); err != nil {
		return err
	}
	dedupOwners(c, obj, false)
	return nil
}

// finishCreate takes an object of the stored version through admission, the
// kind's rules and validation into the store. Mutators see it as it came,
// without a UID and without the name that is made for it.
func (a *API) finishCreate(ctx context.Context, c *request.Call, obj resource.Object, o *metav1.CreateOptions) (*Result, error) {
	d := c.Match.Definition
	if dyn := d.Dynamic; dyn != nil {
		if why := dyn.Refuse(); why != "" {
			return nil, apierrors.NewForbidden(d.GroupResource(), obj.GetName(), errors.New(why))
		}
	}
	at := attributes(c, admission.Create, isDryRun(o.DryRun))
	at.Subresource, at.Kind, at.Name, at.Object, at.Options = "", schema.GroupVersionKind{}, obj.GetName(), obj, o
	if at.Namespace == "" && d.Kind == "Namespace" && d.Storage.Group == "" {
		at.Namespace = at.Name
	}
	if err := a.mutate(ctx, c, at, obj); err != nil {
		return nil, err
	}
	// Whoever has changed it may not have moved it.
	if err := placeInNamespace(c, obj); err != nil {
		return nil, err
	}
	if c.Name != "" {
		if err := checkName(c, obj); err != nil {
			return nil, err
		}
	}
	dedupOwners(c, obj, true)
	if obj.GetName() != "" || obj.GetGenerateName() == "" {
		return a.create(ctx, c, at, obj, o)
	}
	for try := 1; ; try++ {
		attempt := obj
		if try < maxNames {
			attempt = obj.DeepCopyObject().(resource.Object)
		}
		attempt.SetName(a.generate(obj.GetGenerateName()))
		r, err := a.create(ctx, c, at, attempt, o)
		if !apierrors.IsAlreadyExists(err) {
			return r, err
		}
		if try == maxNames {
			return nil, apierrors.NewGenerateNameConflict(d.GroupResource(), attempt.GetName(), 1)
		}
	}
}

// create makes one attempt to store a new object that has a name.
func (a *API) create(ctx context.Context, c *request.Call, at *admission.Attributes, obj resource.Object, o *metav1.CreateOptions) (*Result, error) {
	obj.SetUID(a.UID())
	obj.SetCreationTimestamp(c.Now.Rfc3339Copy())
	at.Name, at.Object = obj.GetName(), obj
	if at.Namespace == "" && c.Match.Kind == "Namespace" && c.Match.Storage.Group == "" {
		at.Namespace = at.Name
	}
	r, err := a.complete(ctx, c, at, obj, o)
	// What was allocated has been given back with the failure.
	final := a.Allocators[c.Match.GroupResource()] != nil
	if errors.Is(err, store.ErrTooLarge) && len(obj.GetManagedFields()) > 0 && !final {
		// Without the record of ownership it may fit.
		obj.SetManagedFields(nil)
		r, err = a.persist(ctx, c, obj, o)
	}
	return r, err
}

// complete lets the kind prepare a new object, checks it and stores it.
func (a *API) complete(ctx context.Context, c *request.Call, at *admission.Attributes, obj resource.Object, o *metav1.CreateOptions) (r *Result, err error) {
	d := c.Match.Definition
	d.PrepareCreate(c.Request(), obj)
	settle, err := a.allocate(ctx, d, obj, nil, isDryRun(o.DryRun))
	if err != nil {
		return nil, err
	}
	defer func() { settle(err) }()
	if err := validateCreate(d, c.Match.Served, obj); err != nil {
		return nil, err
	}
	for _, w := range d.Warnings(obj, nil) {
		c.Warn(w)
	}
	if err := a.admit(ctx, a.Admission.Validate, at); err != nil {
		return nil, err
	}
	if obj.GetResourceVersion() != "" && obj.GetResourceVersion() != "0" {
		return nil, errVersionOnCreate
	}
	return a.persist(ctx, c, obj, o)
}

// persist writes a finished new object.
func (a *API) persist(ctx context.Context, c *request.Call, obj resource.Object, o *metav1.CreateOptions) (*Result, error) {
	d := c.Match.Definition
	obj.SetResourceVersion("")
	obj.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
	cached := a.Hub.Cache(d)
	if isDryRun(o.DryRun) {
		old, _, err := cached.Get(ctx, obj.GetNamespace(), obj.GetName(), cache.Latest, 0)
		if err == nil {
			return nil, exists(d, obj.GetName(), old)
		}
		if !errors.Is(err, cache.ErrNotFound) {
			return nil, failure(d, obj.GetName(), err)
		}
		return &Result{Object: cached.AsStored(obj)}, nil
	}
	stored, err := toStorage(d, obj)
	if err != nil {
		return nil, err
	}
	e, err := cached.Create(ctx, stored, d.TTL(stored))
	if errors.Is(err, store.ErrExists) {
		return nil, exists(d, obj.GetName(), e)
	}
	if err != nil {
		return nil, failure(d, obj.GetName(), fmt.Errorf("create: %w", err))
	}
	a.settle(ctx, d, e)
	return &Result{Entry: e, Object: e.Object}, nil
}

// settle waits until this server acts by what has just been written, where the
// kind is one that decides about other requests. The write has been made: a
// wait that is cut short does not undo it.
func (a *API) settle(ctx context.Context, d *resource.Definition, e *cache.Entry) {
	if !d.Settled {
		return
	}
	if err := a.Hub.WaitUntil(ctx, e.Revision); err != nil {
		a.Log.Warn("a change has been stored, but may take effect later", "kind", d.Kind, "name", e.Name, "err", err)
	}
}

// exists is the refusal to create what is there, old, which may be nil.
func exists(d *resource.Definition, name string, old *cache.Entry) error {
	err := apierrors.NewAlreadyExists(d.GroupResource(), name)
	if old != nil && old.Object != nil && old.Object.GetDeletionTimestamp() != nil {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

// Result is what a verb has done: the object as it is now, of the stored
// version. Entry is nil where nothing was stored (dry run).
type Result struct {
	Entry  *cache.Entry
	Object resource.Object
	// Created: the object was not there before.
	Created bool
	// Status is sent in place of the object, where it is set.
	Status *metav1.Status
}
