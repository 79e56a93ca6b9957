package garbage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"proa/controller"
)

// Delays between looks at what the server serves. After a change, and after a
// failure, the collector looks soon and then ever more rarely: a server may
// serve a new resource some time after it has accepted its definition.
const (
	firstLook = 20 * time.Millisecond
	soonLook  = time.Second
	lastLook  = 10 * time.Minute
)

// ignored resources own nothing, are owned by nothing, and are many.
var ignored = map[schema.GroupResource]bool{
	{Resource: "events"}:                         true,
	{Group: "events.k8s.io", Resource: "events"}: true,
}

// defining resources bring others: their events say when to look again.
var defining = map[schema.GroupResource]bool{
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}: true,
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}:             true,
}

// served is a resource that the server serves.
type served struct {
	gvk        schema.GroupVersionKind
	gvr        schema.GroupVersionResource
	namespaced bool
}

// watched is a resource whose objects the graph holds.
type watched struct {
	served
	informer cache.SharedIndexInformer
	events   cache.ResourceEventHandlerRegistration
	// stop ends the informer, where it is the collector's own.
	stop func()
}

// resources are those that are watched, as discovery last told. Safe for
// concurrent use.
type resources struct {
	env controller.Env
	// handle makes the handler of a resource's events, and forget takes an
	// object out that nobody watches any more.
	handle func(served) cache.ResourceEventHandler
	forget func(any)
	// changed has a value when the server may serve other resources.
	changed chan struct{}
	running sync.WaitGroup // informers of the collector's own

	mu      sync.Mutex
	watched map[schema.GroupKind]*watched
}

func newResources(env controller.Env, handle func(served) cache.ResourceEventHandler, forget func(any)) *resources {
	return &resources{env: env, handle: handle, forget: forget, changed: make(chan struct{}, 1), watched: map[schema.GroupKind]*watched{}}
}

// of finds the resource of a kind, also of one that is not watched.
func (r *resources) of(gvk schema.GroupVersionKind) (served, error) {
	r.mu.Lock()
	w := r.watched[gvk.GroupKind()]
	r.mu.Unlock()
	if w != nil && w.gvk == gvk {
		return w.served, nil
	}
	m, err := r.env.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return served{}, err
	}
	return served{m.GroupVersionKind, m.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace}, nil
}

// first watches what the server serves. It tries until the server has told.
func (r *resources) first(ctx context.Context) error {
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		err := r.look(ctx)
		if err == nil || discovery.IsGroupDiscoveryFailedError(err) {
			return nil
		}
		r.env.Log.Info("the resources of the server cannot be listed yet", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.env.Clock.After(wait):
		}
	}
}

// follow looks again at what the server serves, until ctx ends.
func (r *resources) follow(ctx context.Context) {
	wait := soonLook
	for next := r.env.Clock.Now().Add(wait); ; {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
			wait = soonLook
			if soon := r.env.Clock.Now().Add(wait); soon.Before(next) {
				next = soon
			}
			continue
		case <-r.env.Clock.After(next.Sub(r.env.Clock.Now())):
		}
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			// What is watched stays so (k/k 88097).
			r.env.Log.Info("not all resources of the server can be listed", "err", err)
		}
		wait = min(2*wait, lastLook)
		next = r.env.Clock.Now().Add(wait)
	}
}

// look watches what the server serves now, and no longer what it does not. A
// group of which nothing can be learned stays as it was.
func (r *resources) look(ctx context.Context) error {
	lists, failed := discovery.ServerPreferredResources(r.env.Discovery)
	unknown := map[string]bool{}
	if failed != nil {
		var groups *discovery.ErrGroupDiscoveryFailed
		if !errors.As(failed, &groups) {
			return failed
		}
		for gv := range groups.Groups {
			unknown[gv.Group] = true
		}
	}
	now, err := deletable(lists)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := false
	for kind, w := range r.watched {
		if _, ok := now[kind]; !ok && !unknown[kind.Group] {
			changed = true
			r.end(w)
			for _, o := range w.informer.GetStore().List() {
				r.forget(o)
			}
			delete(r.watched, kind)
		}
	}
	for kind, s := range now {
		was := r.watched[kind]
		if was != nil && was.served == s {
			continue
		}
		changed = true
		w, err := r.watch(ctx, s)
		if err != nil {
			return err
		}
		r.watched[kind] = w
		if was != nil {
			r.end(was) // another version of the same objects
		}
	}
	if changed {
		meta.MaybeResetRESTMapper(r.env.Mapper)
		r.env.Informers.Start(ctx.Done()) // those that nobody else has asked for
	}
	return failed
}

// deletable are the resources whose objects can be seen and deleted, in the
// version that the server prefers.
func deletable(lists []*metav1.APIResourceList) (map[schema.GroupKind]served, error) {
	all := map[schema.GroupKind]served{}
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"delete", "list", "watch"}}, lists) {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		for _, r := range list.APIResources {
			if gvr := gv.WithResource(r.Name); !ignored[gvr.GroupResource()] {
				gvk := gv.WithKind(r.Kind)
				all[gvk.GroupKind()] = served{gvk, gvr, r.Namespaced}
			}
		}
	}
	return all, nil
}

// watch follows one resource: through the informer that other controllers share
// where its type is known, and otherwise, as for custom resources, through one
// of the collector's own that sees metadata only.
func (r *resources) watch(ctx context.Context, s served) (*watched, error) {
	w := &watched{served: s, stop: func() {}}
	if shared, err := r.env.Informers.ForResource(s.gvr); err == nil {
		w.informer = shared.Informer()
	} else {
		w.informer = metadatainformer.NewFilteredMetadataInformer(r.env.Metadata, s.gvr, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
		inner, cancel := context.WithCancel(ctx)
		w.stop = cancel
		r.running.Go(func() { w.informer.RunWithContext(inner) })
	}
	var err error
	if w.events, err = w.informer.AddEventHandler(r.handle(s)); err != nil {
		w.stop()
		return nil, fmt.Errorf("watch %s: %w", s.gvr, err)
	}
	if defining[s.gvr.GroupResource()] {
		_, err = w.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
			AddFunc: func(_ any, initial bool) {
				if !initial {
					r.change()
				}
			},
			UpdateFunc: func(any, any) { r.change() },
			DeleteFunc: func(any) { r.change() },
		})
	}
	return w, err
}

func (r *resources) change() {
	select {
	case r.changed <- struct{}{}:
	default: // it is known already
	}
}

// end stops watching.
func (r *resources) end(w *watched) {
	_ = w.informer.RemoveEventHandler(w.events) // fails only if it has ended
	w.stop()
}

// synced says whether the graph holds every object of what is watched.
func (r *resources) synced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.watched {
		if !w.events.HasSynced() {
			return false
		}
	}
	return true
}

// close takes all handlers back and waits for the informers, whose context has
// ended.
func (r *resources) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.watched {
		r.end(w)
	}
	r.running.Wait()
}
