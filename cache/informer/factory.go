package informer

import (
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/kubernetes"
	clientcache "k8s.io/client-go/tools/cache"

	"proa/cache"
	"proa/resource"
)

// Factory is a SharedInformerFactory whose informers read the cache.
type Factory struct {
	// The real factory keeps and runs the informers.
	informers.SharedInformerFactory

	hub   *cache.Hub
	table *resource.Table
}

var _ informers.SharedInformerFactory = (*Factory)(nil)

// NewFactory makes a factory for the resources of a table. The client serves
// kinds that are not in it, and may be nil where none is asked for. Resync is
// the interval at which handlers see all objects again, 0 for never.
func NewFactory(client kubernetes.Interface, hub *cache.Hub, table *resource.Table, resync time.Duration) *Factory {
	return &Factory{
		SharedInformerFactory: informers.NewSharedInformerFactory(client, resync),
		hub:                   hub,
		table:                 table,
	}
}

// InformerFor returns the one informer of the type of obj. newFunc makes it
// where the table does not serve the type.
func (f *Factory) InformerFor(obj runtime.Object, newFunc internalinterfaces.NewInformerFunc) clientcache.SharedIndexInformer {
	return f.SharedInformerFactory.InformerFor(obj, func(c kubernetes.Interface, resync time.Duration) clientcache.SharedIndexInformer {
		if m, ok := f.served(reflect.TypeOf(obj)); ok {
			return NewInformer(f.hub, m, resync)
		}
		return newFunc(c, resync)
	})
}

// NewInformer makes an informer of one served version of a resource, indexed
// by namespace as generated informers are.
func NewInformer(hub *cache.Hub, m resource.Match, resync time.Duration) clientcache.SharedIndexInformer {
	return clientcache.NewSharedIndexInformerWithOptions(
		NewListerWatcher(hub, m, ""),
		m.Served.New(),
		clientcache.SharedIndexInformerOptions{
			ResyncPeriod:      resync,
			Indexers:          clientcache.Indexers{clientcache.NamespaceIndex: clientcache.MetaNamespaceIndexFunc},
			ObjectDescription: m.Served.GroupVersion.WithResource(m.Plural).String(),
		})
}

// served finds the version of a resource whose objects have the type.
func (f *Factory) served(t reflect.Type) (resource.Match, bool) {
	for _, def := range f.table.View().Definitions {
		if def.Virtual {
			continue
		}
		for i := range def.Served {
			if s := &def.Served[i]; reflect.TypeOf(s.New()) == t && (s.Storage || reflect.TypeOf(def.New()) != t) {
				return resource.Match{Definition: def, Served: s}, true
			}
		}
	}
	return resource.Match{}, false
}

// ForResource gives generic access to the informer of a resource.
func (f *Factory) ForResource(gvr schema.GroupVersionResource) (informers.GenericInformer, error) {
	m, ok := f.table.View().Resource(gvr)
	if !ok || m.Virtual || m.Dynamic != nil {
		return nil, fmt.Errorf("no informer found for %v", gvr)
	}
	// The informer is registered under its type: custom resources share one, and
	// are refused.
	informer := f.InformerFor(m.Served.New(), nil)
	return &generic{informer, clientcache.NewGenericLister(informer.GetIndexer(), gvr.GroupResource())}, nil
}

type generic struct {
	informer clientcache.SharedIndexInformer
	lister   clientcache.GenericLister
}

// Informer implements informers.GenericInformer.
func (g *generic) Informer() clientcache.SharedIndexInformer { return g.informer }

// Lister implements informers.GenericInformer.
func (g *generic) Lister() clientcache.GenericLister { return g.lister }
