package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"proa/admission"
	"proa/apiserver/connect"
	"proa/apiserver/managed"
	"proa/apiserver/request"
	"proa/auth"
	"proa/cache"
	"proa/resource"
)

// API carries out verbs. Its fields must not change once it is in use. Safe
// for concurrent use.
type API struct {
	Table      *resource.Table
	Hub        *cache.Hub
	Admission  admission.Chain
	Authorizer auth.Authorizer
	Connects   connect.Registry
	// Allocators complete objects with what they need from elsewhere.
	Allocators map[schema.GroupResource]resource.Allocator
	Managed    *managed.Tracker
	Log        *slog.Logger
	// Random makes a number in [0,n), for generated names.
	Random func(n int) int
	// UID makes unique ids.
	UID func() types.UID
	// WatchTimeout is the shortest time after which a watch that did not ask
	// for one is ended; the longest is twice that (30 minutes).
	WatchTimeout time.Duration
	// Draining ends when the server begins to drain, and watches with it.
	Draining context.Context
	// Observe counts what happens, for metrics.
	Observe Observer

	turns turns // of watches that get many events, see rush.go
}

// Observer is told of things worth counting. Its methods must be quick.
type Observer interface {
	admission.Observer
	// WatchEvents of a resource were sent, with so many bytes.
	WatchEvents(group, version, kind string, events, bytes int)
}

// Complete fills in what was left out.
func (a *API) Complete() *API {
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	if a.Random == nil {
		a.Random = rand.IntN
	}
	if a.UID == nil {
		a.UID = func() types.UID { return types.UID(uuid.NewString()) }
	}
	if a.WatchTimeout == 0 {
		a.WatchTimeout = 30 * time.Minute
	}
	return a
}

// suffix letters leave out vowels and what looks alike, so that generated
// names spell nothing.
const suffixLetters = "bcdfghjklmnpqrstvwxz2456789"

// generate makes a name that begins with base.
func (a *API) generate(base string) string {
	const longest, random = 63, 5
	if len(base) > longest-random {
		base = base[:longest-random]
	}
	b := make([]byte, random)
	for i := range b {
		b[i] = suffixLetters[a.Random(len(suffixLetters))]
	}
	return base + string(b)
}

// Call makes the call of a component that acts through the API itself, on one
// object of a definition. Warnings of from, where it is not nil, are shared.
func (a *API) Call(from *request.Call, d *resource.Definition, verb, subresource, namespace, name string) *request.Call {
	c := &request.Call{
		Info: request.Info{
			Verb: verb, IsResource: true, Group: d.Storage.Group, Version: d.Storage.Version,
			Resource: d.Plural, Subresource: subresource, Namespace: namespace, Name: name,
		},
		Match: resource.Match{Definition: d, Served: &d.Served[0]},
	}
	if from != nil {
		c.User, c.Now, c.UserAgent, c.AuditID, c.Audit = from.User, from.Now, from.UserAgent, from.AuditID, from.Audit
	}
	if c.Now.IsZero() {
		c.Now = metav1.Now()
	}
	return c
}

// failure translates an error of the cache or store into an API status, and
// leaves others alone.
func failure(d *resource.Definition, name string, err error) error {
	if err == nil {
		return nil
	}
	if s := cache.Status(d, name, err); s != nil {
		return s
	}
	return err
}

// admit passes a write through mutators or validators.
func (a *API) admit(ctx context.Context, run func(context.Context, *admission.Attributes) error, at *admission.Attributes) error {
	if len(a.Admission) == 0 {
		return nil
	}
	if a.Observe != nil {
		at.Observe = a.Observe
	}
	err := run(ctx, at)
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return apierrors.NewForbidden(at.Definition.GroupResource(), at.Name, err)
}

// attributes begins the description of a write for admission.
func attributes(c *request.Call, op admission.Operation, dryRun bool) *admission.Attributes {
	at := &admission.Attributes{
		Operation: op, Definition: c.Match.Definition, Served: c.Match.Served, Subresource: c.Subresource, Kind: kindOf(c),
		Namespace: c.Namespace, Name: c.Name, User: c.User, DryRun: dryRun, Warn: c.Warn,
	}
	if c.Audit != nil {
		at.Annotate = c.Audit.Annotate
	}
	return at
}

// kindOf is the kind of what a request brings, where that is not the served
// one: subresources may have a kind of their own.
func kindOf(c *request.Call) (own schema.GroupVersionKind) {
	if c.Subresource == "" {
		return own
	}
	d := c.Match.Definition
	if c.Subresource == "scale" && d.Scale != nil {
		return scaleKind
	}
	for _, k := range d.Connects {
		if k.Name == c.Subresource {
			return k.Kind
		}
	}
	return own
}

// mutate passes an object through the mutators. They may have others decide,
// who may leave managed fields that cannot be read: those of before are kept
// then.
func (a *API) mutate(ctx context.Context, c *request.Call, at *admission.Attributes, obj resource.Object) error {
	before := obj.GetManagedFields()
	if err := a.admit(ctx, a.Admission.Mutate, at); err != nil {
		return err
	}
	after := obj.GetManagedFields()
	if len(before) == len(after) && (len(before) == 0 || &before[0] == &after[0]) {
		return nil
	}
	if err := managedfields.ValidateManagedFields(after); err != nil {
		c.Warn(fmt.Sprintf(".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: %v", err))
		obj.SetManagedFields(before)
	}
	return nil
}

// mayCreate asks whether the caller may create what an update or apply did not
// find.
func (a *API) mayCreate(ctx context.Context, c *request.Call) error {
	if a.Authorizer == nil {
		return nil
	}
	at := &auth.Attributes{
		User: c.User, Verb: "create", Path: c.Path, IsResource: true, Group: c.Group, Version: c.Version,
		Resource: c.Resource, Subresource: c.Subresource, Namespace: c.Namespace, Name: c.Name,
	}
	d, reason, err := a.Authorizer.Authorize(ctx, at)
	if d == auth.Allow {
		return nil
	}
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	return auth.Forbidden(at, reason)
}
