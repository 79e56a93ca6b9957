package aggregator

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/kube-openapi/pkg/handler3"

	"proa/apiserver/backend"
	"proa/auth/source"
	"proa/cache"
	"proa/resource"
	"proa/resource/apiregistration"
	"proa/resource/check"
)

// Config of an aggregator.
type Config struct {
	Table *resource.Table
	Hub   *cache.Hub
	// Services finds the servers behind services.
	Services backend.Services
	// Certificate is what this server shows as a front proxy.
	Certificate func() *tls.Certificate
	// Dial opens a connection to an address. Tests replace it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve finds an endpoint of a service; that of package backend unless set.
	Resolve func(ctx context.Context, namespace, name, port string) (netip.AddrPort, error)
	// Published is called with what other servers serve whenever that changes. It
	// must not block. It may be nil.
	Published func(*Remotes)
	Log       *slog.Logger
	// Now is the clock.
	Now func() metav1.Time
}

// Aggregator knows who serves what. Make it with New. Safe for concurrent use.
type Aggregator struct {
	Config
	services schema.GroupVersionResource
	// remotes are the versions that other servers serve.
	remotes atomic.Pointer[Remotes]

	mu      sync.Mutex
	objects map[string]*apiregistration.APIService
	servers map[schema.GroupVersion]*server
	loaded  bool
	changed chan struct{} // something is to be looked at
}

// Remotes is what other servers serve at one time. It is immutable.
type Remotes struct {
	Versions []Remote
	by       map[schema.GroupVersion]*server
}

// Remote is a version that another server serves.
type Remote struct {
	schema.GroupVersion
	GroupPriority, VersionPriority int32
	// Resources are those that the server has told of; Current says whether it
	// answers now.
	Resources []apidiscoveryv2.APIResourceDiscovery
	Current   bool
	// document is where the server describes the version in OpenAPI.
	document handler3.OpenAPIV3DiscoveryGroupVersion
}

// New makes an aggregator.
func New(c Config) *Aggregator {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, namespace, name, port string) (netip.AddrPort, error) {
			return backend.OfService(ctx, c.Services, namespace, name, port)
		}
	}
	if c.Now == nil {
		c.Now = metav1.Now
	}
	a := &Aggregator{
		Config: c, services: apiregistration.SchemeGroupVersion.WithResource("apiservices"),
		objects: map[string]*apiregistration.APIService{}, servers: map[schema.GroupVersion]*server{}, changed: make(chan struct{}, 1),
	}
	a.remotes.Store(&Remotes{})
	return a
}

// Remotes are the versions that other servers serve now.
func (a *Aggregator) Remotes() *Remotes { return a.remotes.Load() }

// Handler returns who answers a path for this server, as the user of the
// request's context, or nil where it answers itself.
func (a *Aggregator) Handler(path string) http.Handler {
	r := a.remotes.Load()
	if len(r.by) == 0 {
		return nil
	}
	s := r.by[versionOf(path)]
	if s == nil {
		return nil
	}
	return s
}

// versionOf is the version of a group that a path is below, or describes.
func versionOf(path string) schema.GroupVersion {
	path = strings.TrimPrefix(path, OpenAPIPath)
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 4)
	switch {
	case len(parts) >= 3 && parts[0] == "apis":
		return schema.GroupVersion{Group: parts[1], Version: parts[2]}
	case len(parts) >= 2 && parts[0] == "api":
		return schema.GroupVersion{Version: parts[1]}
	}
	return schema.GroupVersion{Group: "?"} // none has this name
}

// Run follows what there is until ctx ends. client writes API services as this
// server itself.
func (a *Aggregator) Run(ctx context.Context, client dynamic.Interface) error {
	v := a.Table.View()
	find := func(gvr schema.GroupVersionResource) *resource.Definition {
		m, _ := v.Resource(gvr)
		return m.Definition
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	follow := func(def *resource.Definition, index source.Index, ready func()) {
		running.Go(func() {
			if err := source.Follow(ctx, a.Hub, def, index, ready); err != nil && ctx.Err() == nil {
				a.Log.Error("API services are not followed any more", "resource", def.Plural, "err", err)
			}
		})
	}
	follow(find(a.services), (*objects)(a), func() {
		a.mu.Lock()
		a.loaded = true
		a.mu.Unlock()
		a.note()
	})
	follow(find(corev1.SchemeGroupVersion.WithResource("services")), (*backends)(a), nil)
	follow(find(discoveryv1.SchemeGroupVersion.WithResource("endpointslices")), (*backends)(a), nil)
	apis := client.Resource(a.services)
	view, table := a.Table.Changed()
	l := locals{client: apis, log: a.Log}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-table:
			view, table = a.Table.Changed()
		case <-a.changed:
		case <-l.retry:
		}
		all, loaded := a.apply(ctx, apis, &running)
		if loaded {
			l.keep(ctx, view, all)
		}
	}
}

// note wakes Run.
func (a *Aggregator) note() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// objects is the source.Index of API services.
type objects Aggregator

func (o *objects) Set(obj any) {
	s := obj.(*apiregistration.APIService)
	o.mu.Lock()
	o.objects[s.Name] = s
	o.mu.Unlock()
	(*Aggregator)(o).note()
}

func (o *objects) Delete(obj any) {
	o.mu.Lock()
	delete(o.objects, obj.(*apiregistration.APIService).Name)
	o.mu.Unlock()
	(*Aggregator)(o).note()
}

// backends is the source.Index of services and their endpoints: whoever is behind
// one is asked again.
type backends Aggregator

func (b *backends) Set(obj any)    { b.touched(obj) }
func (b *backends) Delete(obj any) { b.touched(obj) }

func (b *backends) touched(obj any) {
	var key types.NamespacedName
	switch o := obj.(type) {
	case *corev1.Service:
		key = types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	case *discoveryv1.EndpointSlice:
		key = types.NamespacedName{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.servers {
		if s.service == key {
			s.ask()
		}
	}
}

// apply makes servers of API services that name one, and forgets those that none
// names any more. It returns all API services, and whether they are all.
func (a *Aggregator) apply(ctx context.Context, client dynamic.ResourceInterface, running *sync.WaitGroup) (map[string]*apiregistration.APIService, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]*apiregistration.APIService{}
	for name, o := range a.objects {
		all[name] = o
		if o.Spec.Service == nil {
			continue
		}
		gv := o.GroupVersion()
		s := a.servers[gv]
		if s != nil && s.same(o) {
			s.object.Store(o)
			continue
		}
		if s != nil {
			s.end()
		}
		a.servers[gv] = a.serve(ctx, o, client, running)
	}
	for gv, s := range a.servers {
		if o := a.objects[gv.Version+"."+gv.Group]; o == nil || o.Spec.Service == nil {
			s.end()
			delete(a.servers, gv)
		}
	}
	a.publish()
	return all, a.loaded
}

// publish shows what servers serve, where that has changed. a.mu is held.
func (a *Aggregator) publish() {
	next := &Remotes{by: map[schema.GroupVersion]*server{}}
	for gv, s := range a.servers {
		next.by[gv] = s
		o := s.object.Load()
		next.Versions = append(next.Versions, Remote{
			GroupVersion: gv, GroupPriority: o.Spec.GroupPriorityMinimum, VersionPriority: o.Spec.VersionPriority,
			Resources: s.resources, Current: s.available.Load(), document: s.described,
		})
	}
	slices.SortFunc(next.Versions, func(a, b Remote) int { return strings.Compare(a.String(), b.String()) })
	if was := a.remotes.Load(); maps.Equal(was.by, next.by) && slices.EqualFunc(was.Versions, next.Versions, sameRemote) {
		return
	}
	a.remotes.Store(next)
	if a.Published != nil {
		a.Published(next)
	}
}

func sameRemote(a, b Remote) bool {
	return a.GroupVersion == b.GroupVersion && a.GroupPriority == b.GroupPriority && a.VersionPriority == b.VersionPriority &&
		a.Current == b.Current && a.document == b.document && check.Equal(&a.Resources, &b.Resources)
}
