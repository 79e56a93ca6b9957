package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"proa/controller"
	"proa/network/edge"
)

// Config is what an Ingress server of one node is made of.
type Config struct {
	// Informers for Ingresses, their classes, Services, EndpointSlices, Secrets and
	// Nodes. Run starts them.
	Informers informers.SharedInformerFactory
	// Client may patch the node.
	Client kubernetes.Interface
	// Events takes what is wrong with Ingresses.
	Events record.EventRecorder
	// Node is the name of this node.
	Node string
	// Address to listen on; empty for all of the node.
	Address string
	// HTTP and HTTPS are the ports, -1 for none.
	HTTP, HTTPS int
	// Certificate is the Secret with the default certificate; one that is made here
	// where it names none.
	Certificate types.NamespacedName
	Log         *slog.Logger
}

// Ingress serves Ingresses on one node.
type Ingress struct {
	config    Config
	loop      *controller.Loop[key]
	ingresses networkinglisters.IngressLister
	classes   networkinglisters.IngressClassLister
	services  corelisters.ServiceLister
	nodes     corelisters.NodeLister
	slices    cache.Indexer

	mu sync.Mutex
	// named are the services and secrets that Ingresses name: events on others
	// concern nobody.
	named struct{ services, secrets map[types.NamespacedName]bool }

	// Owned by the loop's one worker.
	proxy    *edge.Proxy
	doors    []*door
	certs    certificates
	backends map[ref]*edge.Backend
	nothing  *edge.Backend
	standIn  *tls.Certificate
	told     map[types.UID]string
	serving  context.Context // Run's
}

// key is a piece of work: the table, or one of these.
type key struct {
	service  types.NamespacedName // its endpoints
	announce bool                 // what the node says of itself
}

// byService indexes EndpointSlices by the service that they belong to.
const byService = "ingress/service"

// New makes a server, before the informers are started.
func New(c Config) (*Ingress, error) {
	shared := c.Informers
	ingresses, classes := shared.Networking().V1().Ingresses(), shared.Networking().V1().IngressClasses()
	services, secrets, nodes := shared.Core().V1().Services(), shared.Core().V1().Secrets(), shared.Core().V1().Nodes()
	slices := shared.Discovery().V1().EndpointSlices().Informer()
	s := &Ingress{
		config: c, ingresses: ingresses.Lister(), classes: classes.Lister(), services: services.Lister(), nodes: nodes.Lister(),
		proxy: edge.New(c.Log), backends: map[ref]*edge.Backend{}, nothing: edge.NewBackend("nothing"),
		certs: certificates{secrets: secrets.Lister(), parsed: map[types.NamespacedName]parsedSecret{}},
	}
	for _, d := range []door{{port: c.HTTP}, {port: c.HTTPS, tls: true}} {
		if d.port >= 0 {
			s.doors = append(s.doors, &d)
		}
	}
	if err := slices.AddIndexers(cache.Indexers{byService: func(o any) ([]string, error) {
		if name, ok := serviceOf(o); ok {
			return []string{name.String()}, nil
		}
		return nil, nil
	}}); err != nil {
		return nil, fmt.Errorf("ingress: %w", err)
	}
	s.slices = slices.GetIndexer()
	s.loop = controller.NewLoop("ingress", controller.Env{Clock: clock.RealClock{}, Log: c.Log}, 1, s.reconcile)
	return s, s.watch(ingresses.Informer(), classes.Informer(), services.Informer(), secrets.Informer(), nodes.Informer(), slices)
}

// watch says which events concern what.
func (s *Ingress) watch(ingresses, classes, services, secrets, nodes, slices cache.SharedIndexInformer) error {
	table := []key{{}}
	when := func(concerned bool, keys ...key) []key {
		if concerned {
			return keys
		}
		return nil
	}
	for _, err := range []error{
		controller.Watch(s.loop, ingresses, func(old, in *networkingv1.Ingress, _ bool) []key {
			// Its status is written by a controller, and says nothing new.
			return when(old == nil || !equality.Semantic.DeepEqual(old.Spec, in.Spec) || !maps.Equal(old.Annotations, in.Annotations), table...)
		}),
		controller.Watch(s.loop, classes, func(_, _ *networkingv1.IngressClass, _ bool) []key { return table }),
		controller.Watch(s.loop, secrets, func(_, o *v1.Secret, _ bool) []key { return when(s.names(o.Namespace, o.Name, true), table...) }),
		controller.Watch(s.loop, services, func(old, o *v1.Service, _ bool) []key {
			if o.Spec.Type == v1.ServiceTypeLoadBalancer || old != nil && old.Spec.Type == v1.ServiceTypeLoadBalancer {
				return table // it may take or leave a port of this node
			}
			return when(s.names(o.Namespace, o.Name, false), table...)
		}),
		controller.Watch(s.loop, slices, func(_, o *discoveryv1.EndpointSlice, _ bool) []key {
			name, ok := serviceOf(o)
			return when(ok && s.names(name.Namespace, name.Name, false), key{service: name})
		}),
		controller.Watch(s.loop, nodes, func(old, n *v1.Node, deleted bool) []key {
			if n.Name != s.config.Node || deleted {
				return nil
			}
			return when(old == nil || old.Annotations[Announcement] != n.Annotations[Announcement], key{announce: true})
		}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func serviceOf(o any) (types.NamespacedName, bool) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || s.Labels[discoveryv1.LabelServiceName] == "" {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}, true
}

// names tells whether an Ingress names a secret, or else a service.
func (s *Ingress) names(namespace, name string, secret bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := types.NamespacedName{Namespace: namespace, Name: name}
	if secret {
		return s.named.secrets[n]
	}
	return s.named.services[n]
}

// Run serves until ctx ends.
func (s *Ingress) Run(ctx context.Context) error {
	s.config.Informers.Start(ctx.Done())
	defer s.config.Informers.Shutdown()
	s.serving = ctx
	defer s.close()
	s.loop.Add(key{})
	s.loop.Add(key{announce: true})
	if err := s.loop.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *Ingress) reconcile(ctx context.Context, k key) (controller.Result, error) {
	switch {
	case k.announce:
		return controller.Done, s.announce(ctx)
	case k.service != types.NamespacedName{}:
		for r, b := range s.backends {
			if r.service == k.service {
				s.fill(r, b)
			}
		}
		return controller.Done, nil
	}
	return s.table()
}

// table makes a new table, and opens or closes the doors.
func (s *Ingress) table() (controller.Result, error) {
	mine, err := s.mine()
	if err != nil {
		return controller.Done, err
	}
	services, secrets := references(mine)
	if s.config.Certificate.Name != "" {
		secrets[s.config.Certificate] = true
	}
	// Before anything is read, so that no event is missed after that.
	s.mu.Lock()
	s.named.services, s.named.secrets = services, secrets
	s.mu.Unlock()

	standard, err := s.standard()
	if err != nil {
		return controller.Done, err
	}
	used := map[ref]*edge.Backend{}
	p := compile(mine, world{
		certificate: s.certs.get, nothing: s.nothing, tls: s.config.HTTPS >= 0,
		backend: func(r ref) (*edge.Backend, string) {
			b := s.backends[r]
			if b == nil {
				b = edge.NewBackend(r.String())
				s.backends[r] = b
			}
			used[r] = b
			return b, s.fill(r, b)
		},
	})
	s.backends = used
	s.certs.keep(secrets)
	s.proxy.Use(edge.NewTable(p.routes, p.certificates, standard))
	s.tell(mine, p.problems)
	return s.move(len(mine) > 0)
}

// mine are the Ingresses that are served here.
func (s *Ingress) mine() ([]*networkingv1.Ingress, error) {
	classes, err := s.classes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	all, err := s.ingresses.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	ours := Classes(classes)
	var mine []*networkingv1.Ingress
	for _, in := range all {
		if Ours(in, ours) && in.DeletionTimestamp == nil {
			mine = append(mine, in)
		}
	}
	return mine, nil
}

// fill gives a backend the endpoints of the moment, and says what is wrong.
func (s *Ingress) fill(r ref, b *edge.Backend) string {
	service, err := s.services.Services(r.service.Namespace).Get(r.service.Name)
	if err != nil {
		service = nil
	}
	found, err := s.slices.ByIndex(byService, r.service.String())
	if err != nil {
		found = nil // there is no such index, which there is
	}
	var all []*discoveryv1.EndpointSlice
	for _, o := range found {
		all = append(all, o.(*discoveryv1.EndpointSlice))
	}
	e, wrong := resolve(r, service, all)
	b.Set(e)
	return wrong
}

// tell makes events of what is wrong, once for each change.
func (s *Ingress) tell(mine []*networkingv1.Ingress, problems map[types.UID][]string) {
	told := map[types.UID]string{}
	for _, in := range mine {
		text := strings.Join(problems[in.UID], "; ")
		if text == "" {
			continue
		}
		told[in.UID] = text
		if s.told[in.UID] != text {
			s.config.Events.Event(in, v1.EventTypeWarning, "Misconfigured", text)
		}
	}
	s.told = told
}

// busyRetry is how long to wait for a port that somebody else has: the kernel tells
// nobody when it is free.
const busyRetry = time.Minute

// move opens the doors, or closes them.
func (s *Ingress) move(open bool) (controller.Result, error) {
	result := controller.Done
	for _, d := range s.doors {
		switch {
		case !open && d.end != nil:
			s.shut(d)
			s.loop.Add(key{announce: true})
		case open && d.end == nil:
			if err := s.open(d); err != nil {
				if text := err.Error(); d.complaint != text {
					s.config.Log.Warn("Ingresses are not served on a port of this node", "port", d.port, "err", err)
					d.complaint = text
				}
				result = controller.Again(busyRetry)
				continue
			}
			d.complaint = ""
			s.loop.Add(key{announce: true})
		}
	}
	return result, nil
}
