package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	clientcache "k8s.io/client-go/tools/cache"
)

// source is what an enforcer knows of the cluster. Pods and namespaces are
// followed from the first policy on, and never before.
type source struct {
	informers  informers.SharedInformerFactory
	enforcer   *Enforcer
	policies   networkinglisters.NetworkPolicyLister
	synced     clientcache.DoneChecker
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	// complete is whether pods and namespaces are known. It is Run's.
	complete bool
}

func newSource(f informers.SharedInformerFactory, e *Enforcer) (*source, error) {
	s := &source{informers: f, enforcer: e}
	policies := f.Networking().V1().NetworkPolicies()
	s.policies = policies.Lister()
	var err error
	s.synced, err = e.follow(policies.Informer(), func(name types.NamespacedName) {
		e.touch(func(d *dirty) { d.policies[name] = true })
	})
	return s, err
}

// follow calls f with the name of each object that comes, changes or goes.
func (e *Enforcer) follow(informer clientcache.SharedIndexInformer, f func(types.NamespacedName)) (clientcache.DoneChecker, error) {
	one := func(o any) {
		if d, ok := o.(clientcache.DeletedFinalStateUnknown); ok {
			o = d.Obj
		}
		if o, ok := o.(metav1.Object); ok {
			f(types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()})
		}
	}
	// What does not come holds pods up, and they are told why.
	if err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *clientcache.Reflector, err error) {
		e.mu.Lock()
		e.unread = err
		e.mu.Unlock()
		clientcache.DefaultWatchErrorHandler(ctx, r, err)
	}); err != nil {
		return nil, fmt.Errorf("network policies: %w", err)
	}
	r, err := informer.AddEventHandler(clientcache.ResourceEventHandlerFuncs{
		AddFunc: one, UpdateFunc: func(_, o any) { one(o) }, DeleteFunc: one,
	})
	if err != nil {
		return nil, fmt.Errorf("network policies: %w", err)
	}
	return r.HasSyncedChecker(), nil
}

// touch marks something dirty.
func (e *Enforcer) touch(f func(*dirty)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.dirty)
	e.signal()
}

// start waits until the policies are known. It is false when ctx ended before.
func (s *source) start(ctx context.Context) bool {
	s.informers.Start(ctx.Done())
	return clientcache.WaitFor(ctx, "", s.synced)
}

// need waits until pods and namespaces are known, if there is a policy.
func (s *source) need(ctx context.Context) error {
	if s.complete {
		return nil
	}
	if all, err := s.policies.List(labels.Everything()); err != nil || len(all) == 0 {
		return err
	}
	pods, namespaces := s.informers.Core().V1().Pods(), s.informers.Core().V1().Namespaces()
	s.pods, s.namespaces = pods.Lister(), namespaces.Lister()
	e := s.enforcer
	podsKnown, err := e.follow(pods.Informer(), func(name types.NamespacedName) {
		e.touch(func(d *dirty) { d.pods[name] = true })
	})
	if err != nil {
		return err
	}
	namespacesKnown, err := e.follow(namespaces.Informer(), func(name types.NamespacedName) {
		e.touch(func(d *dirty) { d.namespaces[name.Name] = true })
	})
	if err != nil {
		return err
	}
	s.informers.Start(ctx.Done())
	if !clientcache.WaitFor(ctx, "", podsKnown, namespacesKnown) {
		return errors.New("ended before the pods were known")
	}
	s.complete = true
	e.touch(func(d *dirty) {
		d.pods[dnsName] = true
		for name := range e.admitted {
			d.pods[name] = true
		}
	})
	return nil
}

func (s *source) policy(name types.NamespacedName) *Policy {
	// Listers fail only for what is not there.
	np, err := s.policies.NetworkPolicies(name.Namespace).Get(name.Name)
	if err != nil {
		return nil
	}
	return Compile(np)
}

func (s *source) pod(name types.NamespacedName) *v1.Pod {
	p, err := s.pods.Pods(name.Namespace).Get(name.Name)
	if err != nil {
		return nil
	}
	return p
}

func (s *source) namespace(name string) (l labels.Set, known bool) {
	n, err := s.namespaces.Get(name)
	if err != nil {
		return nil, false
	}
	return n.Labels, true
}

// dnsName is that of the pod that the cluster's DNS stands for. No real pod has
// an empty name.
var dnsName = types.NamespacedName{Namespace: metav1.NamespaceSystem}

// dns is the cluster's DNS as other clusters have it.
func (e *Enforcer) dns() *Pod {
	if !e.config.DNS.IsValid() {
		return nil
	}
	const port = 53
	return &Pod{
		NamespacedName: dnsName,
		Labels:         map[string]string{"k8s-app": "kube-dns"}, Addrs: []netip.Addr{e.config.DNS},
		Ports: []Port{{"dns", v1.ProtocolUDP, port}, {"dns-tcp", v1.ProtocolTCP, port}},
	}
}

// Trim is a transform for informers that leaves of a pod what policies look at,
// and nothing of what others may not read here.
func Trim(o any) (any, error) {
	p, ok := o.(*v1.Pod)
	if !ok {
		return o, nil
	}
	out := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion, Labels: p.Labels, CreationTimestamp: p.CreationTimestamp,
		},
		Spec:   v1.PodSpec{NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork, InitContainers: portsOnly(p.Spec.InitContainers), Containers: portsOnly(p.Spec.Containers)},
		Status: v1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs},
	}
	if mirror, ok := p.Annotations[v1.MirrorPodAnnotationKey]; ok {
		out.Annotations = map[string]string{v1.MirrorPodAnnotationKey: mirror}
	}
	return out, nil
}

func portsOnly(all []v1.Container) []v1.Container {
	var out []v1.Container
	for i := range all {
		if len(all[i].Ports) > 0 {
			out = append(out, v1.Container{Ports: all[i].Ports})
		}
	}
	return out
}
