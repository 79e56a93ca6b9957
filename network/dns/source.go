package dns

import (
	"net/netip"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Names of the indexes.
const (
	servicesByAddress = "dns/address"
	slicesByService   = "dns/service"
	slicesByAddress   = "dns/address"
)

// source reads the cluster's objects from informers.
type source struct{ services, slices cache.Indexer }

func newSource(shared informers.SharedInformerFactory) (source, []cache.InformerSynced, error) {
	services := shared.Core().V1().Services().Informer()
	slices := shared.Discovery().V1().EndpointSlices().Informer()
	if err := services.AddIndexers(cache.Indexers{servicesByAddress: clusterIPs}); err != nil {
		return source{}, nil, err
	}
	if err := slices.AddIndexers(cache.Indexers{slicesByService: owner, slicesByAddress: addresses}); err != nil {
		return source{}, nil, err
	}
	return source{services: services.GetIndexer(), slices: slices.GetIndexer()}, []cache.InformerSynced{services.HasSynced, slices.HasSynced}, nil
}

func clusterIPs(o any) ([]string, error) {
	s, ok := o.(*v1.Service)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, text := range s.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a.String())
		}
	}
	return out, nil
}

func owner(o any) ([]string, error) {
	if s, ok := o.(*discoveryv1.EndpointSlice); ok && s.Labels[discoveryv1.LabelServiceName] != "" {
		return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
	}
	return nil, nil
}

func addresses(o any) ([]string, error) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || s.AddressType == discoveryv1.AddressTypeFQDN {
		return nil, nil
	}
	var out []string
	for _, e := range s.Endpoints {
		for _, text := range e.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				out = append(out, a.String())
			}
		}
	}
	return out, nil
}

// service returns nil for what is not there.
func (s source) service(namespace, name string) *v1.Service {
	o, ok, err := s.services.GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil
	}
	return o.(*v1.Service)
}

// namespace reports whether there is a service in it: one without any has no
// names, so that nobody can tell the difference.
func (s source) namespace(name string) bool {
	keys, err := s.services.IndexKeys(cache.NamespaceIndex, name)
	return err == nil && len(keys) > 0
}

func (s source) slicesOf(namespace, name string) []*discoveryv1.EndpointSlice {
	return all[discoveryv1.EndpointSlice](s.slices, slicesByService, namespace+"/"+name)
}

func (s source) servicesAt(a netip.Addr) []*v1.Service {
	return all[v1.Service](s.services, servicesByAddress, a.String())
}

func (s source) slicesAt(a netip.Addr) []*discoveryv1.EndpointSlice {
	return all[discoveryv1.EndpointSlice](s.slices, slicesByAddress, a.String())
}

// all are the objects under a value of an index.
func all[T any](i cache.Indexer, index, value string) []*T {
	found, err := i.ByIndex(index, value)
	if err != nil {
		return nil // there is no such index, which there is
	}
	out := make([]*T, 0, len(found))
	for _, o := range found {
		if t, ok := o.(*T); ok {
			out = append(out, t)
		}
	}
	return out
}
