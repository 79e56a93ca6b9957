package resourcequota

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"proa/admission/resourcequota/usage"
	"proa/controller"
)

// counter adds up what namespaces use.
type counter struct {
	env      controller.Env
	lost     func(gr schema.GroupResource, gone *metav1.PartialObjectMetadata)
	pods     corelisters.PodLister
	services corelisters.ServiceLister
	claims   corelisters.PersistentVolumeClaimLister

	ctx    context.Context // of the informers
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	kinds  map[schema.GroupResource]cache.SharedIndexInformer
}

func newCounter(env controller.Env, lost func(schema.GroupResource, *metav1.PartialObjectMetadata)) *counter {
	core := env.Informers.Core().V1()
	ctx, cancel := context.WithCancel(context.Background())
	return &counter{
		env: env, lost: lost, pods: core.Pods().Lister(), services: core.Services().Lister(), claims: core.PersistentVolumeClaims().Lister(),
		ctx: ctx, cancel: cancel, kinds: map[schema.GroupResource]cache.SharedIndexInformer{},
	}
}

// stop ends the informers that were started.
func (c *counter) stop() {
	c.cancel()
	c.wg.Wait()
}

// typed are the kinds whose objects are looked into.
var typed = map[schema.GroupResource]bool{
	{Resource: "pods"}: true, {Resource: "services"}: true, {Resource: "persistentvolumeclaims"}: true,
}

// plain are the quota names for a number of objects that are not written as
// counts.
var plain = []schema.GroupResource{
	{Resource: "replicationcontrollers"}, {Resource: "resourcequotas"}, {Resource: "secrets"}, {Resource: "configmaps"},
}

// used adds up what a quota's namespace uses of it.
func (c *counter) used(ctx context.Context, q *v1.ResourceQuota, now time.Time) (v1.ResourceList, error) {
	hard := q.Spec.Hard
	total := v1.ResourceList{}
	add := func(l v1.ResourceList) { total = usage.Add(total, l) }

	if limits(hard, schema.GroupResource{Resource: "pods"}) {
		list, err := c.pods.Pods(q.Namespace).List(labels.Everything())
		if err != nil {
			return nil, err
		}
		add(sum(list, func(p *v1.Pod) v1.ResourceList {
			if !usage.Matches(&q.Spec, p) {
				return nil
			}
			return usage.Of(schema.GroupResource{Resource: "pods"}, p, now)
		}, hard))
	}
	if limits(hard, schema.GroupResource{Resource: "services"}) {
		list, err := c.services.Services(q.Namespace).List(labels.Everything())
		if err != nil {
			return nil, err
		}
		add(sum(list, func(s *v1.Service) v1.ResourceList {
			if !usage.Matches(&q.Spec, s) {
				return nil
			}
			return usage.Of(schema.GroupResource{Resource: "services"}, s, now)
		}, hard))
	}
	if limits(hard, schema.GroupResource{Resource: "persistentvolumeclaims"}) {
		list, err := c.claims.PersistentVolumeClaims(q.Namespace).List(labels.Everything())
		if err != nil {
			return nil, err
		}
		add(sum(list, func(p *v1.PersistentVolumeClaim) v1.ResourceList {
			if !usage.Matches(&q.Spec, p) {
				return nil
			}
			return usage.Of(schema.GroupResource{Resource: "persistentvolumeclaims"}, p, now)
		}, hard))
	}
	for name, of := range counted(hard) {
		// Scopes choose pods and claims; nothing else is in one.
		if len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
			continue
		}
		n, err := c.number(ctx, of, q.Namespace)
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", of, err)
		}
		total[name] = *resource.NewQuantity(n, resource.DecimalSI)
	}
	return total, nil
}

// limits reports whether a quota limits objects of a resource.
func limits(hard v1.ResourceList, gr schema.GroupResource) bool {
	for n := range hard {
		if usage.Counts(gr, n) {
			return true
		}
	}
	return false
}

// counted are the names that only count objects, and of what.
func counted(hard v1.ResourceList) map[v1.ResourceName]schema.GroupResource {
	m := map[v1.ResourceName]schema.GroupResource{}
	for n := range hard {
		if gr, ok := usage.Counted(n); ok {
			if !typed[gr] {
				m[n] = gr
			}
			continue
		}
		for _, gr := range plain {
			if string(n) == gr.Resource {
				m[n] = gr
			}
		}
	}
	return m
}

// number is how many objects of a resource a namespace has; of one that is not
// served there are none.
func (c *counter) number(ctx context.Context, gr schema.GroupResource, namespace string) (int64, error) {
	informer, err := c.informer(gr)
	if meta.IsNoMatchError(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return 0, ctx.Err()
	}
	keys, err := informer.GetIndexer().IndexKeys(cache.NamespaceIndex, namespace)
	return int64(len(keys)), err
}

func (c *counter) informer(gr schema.GroupResource) (cache.SharedIndexInformer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.kinds[gr]; i != nil {
		return i, nil
	}
	gvr, err := c.env.Mapper.ResourceFor(gr.WithVersion(""))
	if err != nil {
		return nil, err
	}
	i := metadatainformer.NewFilteredMetadataInformer(c.env.Metadata, gvr, metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, nil).Informer()
	// Only names are counted.
	if err := i.SetTransform(func(o any) (any, error) {
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			m = &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
				Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
			}}
			return m, nil
		}
		return o, nil
	}); err != nil {
		return nil, err
	}
	if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			was, _ := before.(*metav1.PartialObjectMetadata)
			if is, ok := after.(*metav1.PartialObjectMetadata); ok && was != nil && was.UID != is.UID {
				c.lost(gr, was)
			}
		},
		DeleteFunc: func(o any) {
			if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			if m, ok := o.(*metav1.PartialObjectMetadata); ok {
				c.lost(gr, m)
			}
		},
	}); err != nil {
		return nil, err
	}
	c.kinds[gr] = i
	c.wg.Go(func() { i.RunWithContext(c.ctx) })
	return i, nil
}

// sum adds up what a list of objects uses of a quota.
func sum[T any](list []T, of func(T) v1.ResourceList, hard v1.ResourceList) v1.ResourceList {
	total := v1.ResourceList{}
	for _, o := range list {
		total = usage.Add(total, usage.Relevant(of(o), hard))
	}
	return total
}
