package crds

import (
	"context"
	"log/slog"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"proa/apiserver/managed"
	"proa/auth/source"
	"proa/cache"
	"proa/resource"
	"proa/resource/apiextensions"
	"proa/resource/custom"
)

// Config of a follower. Table and Hub are required.
type Config struct {
	Table *resource.Table
	Hub   *cache.Hub
	// Managed is told of rows that have gone; may be nil.
	Managed *managed.Tracker
	// Caller asks the webhooks of conversions; may be nil.
	Caller custom.Caller
	Log    *slog.Logger
}

// Follower keeps the table in step with the definitions. Make it with New and
// run it with Run. Its methods are safe for concurrent use.
type Follower struct {
	Config
	def *resource.Definition
	// ready is closed when what was stored at the start has been entered.
	ready chan struct{}

	mu   sync.Mutex
	rows map[string]*row // by the name of the definition
	// applied are the revisions of definitions as they were last seen, since Sync
	// may be ahead of the events; synced is how far it went.
	applied map[string]int64

	synced atomic.Int64
}

// row is what was entered for a definition.
type row struct {
	uid  types.UID
	crd  *apiextensionsv1.CustomResourceDefinition
	kind *custom.Kind
	def  *resource.Definition
}

// New completes a follower. It returns nil where the table has no definitions
// of custom resources.
func New(c Config) *Follower {
	m, ok := c.Table.View().Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	if !ok {
		return nil
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Follower{
		Config: c, def: m.Definition, ready: make(chan struct{}), rows: map[string]*row{}, applied: map[string]int64{},
	}
}

// Ready is closed when what was stored at the start has been entered.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Run follows the definitions until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	return source.Follow(ctx, f.Hub, f.def, f, func() { close(f.ready) })
}

// Set implements source.Index.
func (f *Follower) Set(obj any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(obj.(*apiextensionsv1.CustomResourceDefinition))
}

// Delete implements source.Index.
func (f *Follower) Delete(obj any) {
	crd := obj.(*apiextensionsv1.CustomResourceDefinition)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newer(crd) {
		f.replace(crd.Name, nil)
	}
	delete(f.applied, crd.Name) // no earlier event can follow
}

func (f *Follower) set(crd *apiextensionsv1.CustomResourceDefinition) {
	if !f.newer(crd) {
		return
	}
	was := f.rows[crd.Name]
	if !served(crd) {
		f.replace(crd.Name, nil)
		return
	}
	if was == nil || was.uid != crd.UID || !same(was.crd, crd) {
		kind, def, err := custom.New(crd, f.Caller)
		if err != nil {
			f.Log.Error("a custom resource cannot be served", "definition", crd.Name, "err", err)
			f.replace(crd.Name, nil)
			return
		}
		was = &row{uid: crd.UID, crd: crd, kind: kind, def: def}
		f.replace(crd.Name, was)
	}
	was.kind.SetTerminating(apiextensions.Is(crd, apiextensionsv1.Terminating))
}

// served: a definition whose names are its own, now or once, until it goes.
func served(crd *apiextensionsv1.CustomResourceDefinition) bool {
	return apiextensions.Is(crd, apiextensionsv1.Established) || apiextensions.Is(crd, apiextensionsv1.NamesAccepted)
}

// same reports whether two states of a definition define the same.
func same(a, b *apiextensionsv1.CustomResourceDefinition) bool {
	if a.Generation != b.Generation && !equality.Semantic.DeepEqual(a.Spec, b.Spec) {
		return false
	}
	return reflect.DeepEqual(a.Status.AcceptedNames, b.Status.AcceptedNames)
}

// replace puts a row in the place of the definition's present one; either may be
// missing.
func (f *Follower) replace(name string, now *row) {
	was := f.rows[name]
	if was == nil && now == nil {
		return
	}
	var gone, come []*resource.Definition
	if was != nil {
		gone = append(gone, was.def)
	}
	if now != nil {
		come = append(come, now.def)
	}
	if err := f.Table.Replace(gone, come); err != nil {
		// Something else is served under the name, such as a builtin resource.
		f.Log.Warn("a custom resource is not served", "definition", name, "err", err)
		if was == nil {
			return
		}
		now, come = nil, nil
		if err := f.Table.Replace(gone, nil); err != nil {
			f.Log.Error("a custom resource cannot be taken out", "definition", name, "err", err)
		}
	}
	if now != nil {
		f.rows[name] = now
	} else {
		delete(f.rows, name)
	}
	if was != nil {
		was.def.Dynamic.Retired.Store(true)
		f.Hub.Drop(was.def)
		if f.Managed != nil {
			f.Managed.Forget(was.def)
		}
	}
}

// newer notes the revision at which a definition is applied, and reports false
// where a later one was applied before.
func (f *Follower) newer(crd *apiextensionsv1.CustomResourceDefinition) bool {
	rev, err := strconv.ParseInt(crd.ResourceVersion, 10, 64)
	if err != nil || rev < f.applied[crd.Name] {
		return false
	}
	f.applied[crd.Name] = rev
	return true
}

// Sync enters at once what the cache has seen by now. The events that follow
// find it done.
func (f *Follower) Sync(ctx context.Context) {
	c := f.Hub.Cache(f.def)
	last := c.Version()
	if last == f.synced.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last == f.synced.Load() {
		return
	}
	list, err := c.List(ctx, cache.ListRequest{Match: cache.Any})
	if err != nil {
		return // the events will do
	}
	there := make(map[string]bool, len(list.Entries))
	for _, e := range list.Entries {
		if e.Err == nil {
			there[e.Name] = true
			f.set(e.Object.(*apiextensionsv1.CustomResourceDefinition))
		}
	}
	for name := range f.rows {
		if !there[name] {
			f.replace(name, nil)
			f.applied[name] = list.Revision
		}
	}
	f.synced.Store(last)
}
