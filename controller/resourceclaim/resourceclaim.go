package resourceclaim

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/client-go/tools/cache"
	claims "k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/utils/ptr"

	"proa/controller"
)

// fieldManager writes the claims into the status of pods.
const fieldManager = "ResourceClaimController"

// Indexes over pods and claims.
const (
	podsByClaim    = "proa-resourceclaim-claim"
	podsByTemplate = "proa-resourceclaim-template"
	claimsByPod    = "proa-resourceclaim-pod"
)

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{Name: "resourceclaim-controller", ServiceAccount: "resource-claim-controller", New: newController}
}

type claimController struct {
	env          controller.Env
	pods, claims *controller.Loop[controller.Key]
	podLister    corelisters.PodLister
	podIndex     cache.Indexer
	claimLister  resourcelisters.ResourceClaimLister
	claimIndex   cache.Indexer
	templates    resourcelisters.ResourceClaimTemplateLister
	made         made
}

func newController(env controller.Env) (controller.Controller, error) {
	pods, res := env.Informers.Core().V1().Pods(), env.Informers.Resource().V1()
	claimInformer, templates := res.ResourceClaims(), res.ResourceClaimTemplates()
	c := &claimController{
		env: env, podLister: pods.Lister(), podIndex: pods.Informer().GetIndexer(),
		claimLister: claimInformer.Lister(), claimIndex: claimInformer.Informer().GetIndexer(), templates: templates.Lister(),
	}
	c.pods = controller.NewLoop("resourceclaim", env, 2, c.reconcilePod)
	c.claims = controller.NewLoop("resourceclaim-users", env, 2, c.reconcileClaim)
	if err := pods.Informer().AddIndexers(cache.Indexers{podsByClaim: claimsOfPod, podsByTemplate: templatesOfPod}); err != nil {
		return nil, fmt.Errorf("index pods: %w", err)
	}
	if err := claimInformer.Informer().AddIndexers(cache.Indexers{claimsByPod: podOfClaim}); err != nil {
		return nil, fmt.Errorf("index claims: %w", err)
	}
	for _, err := range []error{
		controller.Watch(c.pods, pods.Informer(), func(_, p *v1.Pod, deleted bool) []controller.Key {
			if len(p.Spec.ResourceClaims) == 0 || deleted {
				return nil
			}
			return []controller.Key{{Namespace: p.Namespace, Name: p.Name}}
		}),
		controller.Watch(c.pods, claimInformer.Informer(), func(_, k *resourcev1.ResourceClaim, _ bool) []controller.Key {
			return c.podsOf(podsByClaim, k.Namespace, k.Name)
		}),
		controller.Watch(c.pods, templates.Informer(), func(_, t *resourcev1.ResourceClaimTemplate, deleted bool) []controller.Key {
			if deleted {
				return nil
			}
			return c.podsOf(podsByTemplate, t.Namespace, t.Name)
		}),
		controller.Watch(c.claims, claimInformer.Informer(), controller.Self[*resourcev1.ResourceClaim]),
		controller.Watch(c.claims, pods.Informer(), func(_, p *v1.Pod, deleted bool) []controller.Key {
			if deleted {
				c.made.forget(p.UID)
			}
			if !deleted && !done(p) {
				return nil
			}
			return claimKeys(p)
		}),
	} {
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *claimController) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return c.pods.Run(ctx) })
	g.Go(func() error { return c.claims.Run(ctx) })
	return g.Wait()
}

// podsOf are the pods that an index has for an object.
func (c *claimController) podsOf(index, namespace, name string) []controller.Key {
	found, err := c.podIndex.ByIndex(index, namespace+"/"+name)
	if err != nil {
		return nil // the index is there: it was added before the informer ran
	}
	var keys []controller.Key
	for _, o := range found {
		p := o.(*v1.Pod)
		keys = append(keys, controller.Key{Namespace: p.Namespace, Name: p.Name})
	}
	return keys
}

// claimKeys are the claims that a pod has.
func claimKeys(p *v1.Pod) []controller.Key {
	var keys []controller.Key
	for i := range p.Spec.ResourceClaims {
		if name, _, err := claims.Name(p, &p.Spec.ResourceClaims[i]); err == nil && name != nil {
			keys = append(keys, controller.Key{Namespace: p.Namespace, Name: *name})
		}
	}
	if s := p.Status.ExtendedResourceClaimStatus; s != nil {
		keys = append(keys, controller.Key{Namespace: p.Namespace, Name: s.ResourceClaimName})
	}
	return keys
}

func claimsOfPod(o any) ([]string, error) {
	p, ok := o.(*v1.Pod)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, k := range claimKeys(p) {
		out = append(out, k.String())
	}
	return out, nil
}

func templatesOfPod(o any) ([]string, error) {
	p, ok := o.(*v1.Pod)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, k := range p.Spec.ResourceClaims {
		if t := k.ResourceClaimTemplateName; t != nil {
			out = append(out, p.Namespace+"/"+*t)
		}
	}
	return out, nil
}

func podOfClaim(o any) ([]string, error) {
	k, ok := o.(*resourcev1.ResourceClaim)
	if !ok {
		return nil, nil
	}
	if ref := metav1.GetControllerOfNoCopy(k); ref != nil && ref.APIVersion == "v1" && ref.Kind == "Pod" {
		return []string{string(ref.UID)}, nil
	}
	return nil, nil
}

func (c *claimController) reconcilePod(ctx context.Context, key controller.Key) (controller.Result, error) {
	p, err := c.podLister.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	plan, err := decidePod(p, func(name string) *resourcev1.ResourceClaim {
		k, err := c.claimLister.ResourceClaims(p.Namespace).Get(name)
		if err != nil {
			return nil
		}
		return k
	}, func(podClaim string) string { return c.madeFor(p, podClaim) })
	if err == nil {
		err = c.createClaims(ctx, p, &plan)
	}
	if err != nil {
		c.env.Events.Event(p, v1.EventTypeWarning, "FailedResourceClaimCreation", err.Error())
		return controller.Done, err
	}
	if err := c.writeNames(ctx, p, plan.names); err != nil {
		return controller.Done, err
	}
	for _, k := range plan.reserve {
		k = k.DeepCopy()
		k.Status.ReservedFor = append(k.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: p.Name, UID: p.UID})
		if _, err := c.env.Client.ResourceV1().ResourceClaims(k.Namespace).UpdateStatus(ctx, k, metav1.UpdateOptions{}); err != nil {
			return controller.Done, fmt.Errorf("reserve claim %s/%s: %w", k.Namespace, k.Name, err)
		}
	}
	return controller.Done, nil
}

// madeFor finds the claim that was made for one of a pod's claims, perhaps
// before the pod's status could be told of it, perhaps a moment ago.
func (c *claimController) madeFor(p *v1.Pod, podClaim string) string {
	found, err := c.claimIndex.ByIndex(claimsByPod, string(p.UID))
	if err != nil {
		return ""
	}
	for _, o := range found {
		if k := o.(*resourcev1.ResourceClaim); k.Annotations[resourcev1.PodResourceClaimAnnotation] == podClaim && k.DeletionTimestamp == nil {
			c.made.seen(p.UID, podClaim)
			return k.Name
		}
	}
	return c.made.name(p.UID, podClaim)
}

func (c *claimController) createClaims(ctx context.Context, p *v1.Pod, plan *podPlan) error {
	for _, k := range plan.create {
		t, err := c.templates.ResourceClaimTemplates(p.Namespace).Get(*k.ResourceClaimTemplateName)
		if err != nil {
			return fmt.Errorf("PodResourceClaim %s: resource claim template %q: %w", k.Name, *k.ResourceClaimTemplateName, err)
		}
		is, err := c.env.Client.ResourceV1().ResourceClaims(p.Namespace).Create(ctx, newClaim(p, k.Name, t), metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("PodResourceClaim %s: create ResourceClaim: %w", k.Name, err)
		}
		c.made.note(p.UID, k.Name, is.Name)
		plan.names[k.Name] = is.Name
	}
	return nil
}

// writeNames tells the pod of claims that were made for it. What it knows
// already is told again: what is applied is all that this manager says.
func (c *claimController) writeNames(ctx context.Context, p *v1.Pod, names map[string]string) error {
	if len(names) == 0 {
		return nil
	}
	all := applycore.PodStatus()
	for _, k := range p.Spec.ResourceClaims {
		name, ok := names[k.Name]
		i := slices.IndexFunc(p.Status.ResourceClaimStatuses, func(s v1.PodResourceClaimStatus) bool { return s.Name == k.Name })
		if !ok && i >= 0 {
			name = ptr.Deref(p.Status.ResourceClaimStatuses[i].ResourceClaimName, "")
		}
		if name != "" {
			all = all.WithResourceClaimStatuses(applycore.PodResourceClaimStatus().WithName(k.Name).WithResourceClaimName(name))
		}
	}
	_, err := c.env.Client.CoreV1().Pods(p.Namespace).ApplyStatus(ctx, applycore.Pod(p.Name, p.Namespace).WithUID(p.UID).WithStatus(all),
		metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("update pod %s/%s ResourceClaimStatuses: %w", p.Namespace, p.Name, err)
	}
	return nil
}

func (c *claimController) reconcileClaim(ctx context.Context, key controller.Key) (controller.Result, error) {
	k, err := c.claimLister.ResourceClaims(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	gone := map[types.UID]bool{}
	for _, user := range k.Status.ReservedFor {
		if gone[user.UID], err = c.userGone(ctx, k.Namespace, user); err != nil {
			return controller.Done, err
		}
	}
	var owner *v1.Pod
	if ref := metav1.GetControllerOfNoCopy(k); ref != nil && ref.Kind == "Pod" {
		// Where it is not known, the garbage collector will see to it.
		owner, _ = c.podLister.Pods(k.Namespace).Get(ref.Name)
	}
	plan := decideClaim(k, func(r resourcev1.ResourceClaimConsumerReference) bool { return gone[r.UID] }, owner)
	return controller.Done, c.apply(ctx, k, plan)
}

// userGone reports whether a user of a claim is a pod that does not use it any
// more.
func (c *claimController) userGone(ctx context.Context, namespace string, user resourcev1.ResourceClaimConsumerReference) (bool, error) {
	if user.APIGroup != "" || user.Resource != "pods" {
		return false, nil
	}
	p, err := c.podLister.Pods(namespace).Get(user.Name)
	if apierrors.IsNotFound(err) {
		// The scheduler may know of a pod that is not in the cache yet.
		p, err = c.env.Client.CoreV1().Pods(namespace).Get(ctx, user.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
	}
	if err != nil {
		return false, err
	}
	return p.UID != user.UID || done(p), nil
}

// apply carries out a plan. Each write is of what the one before returned.
func (c *claimController) apply(ctx context.Context, k *resourcev1.ResourceClaim, plan claimPlan) error {
	client := c.env.Client.ResourceV1().ResourceClaims(k.Namespace)
	if plan.status != nil {
		k = k.DeepCopy()
		k.Status = *plan.status
		var err error
		if k, err = client.UpdateStatus(ctx, k, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if plan.release {
		k = k.DeepCopy()
		k.Finalizers = slices.DeleteFunc(k.Finalizers, func(f string) bool { return f == resourcev1.Finalizer })
		var err error
		if k, err = client.Update(ctx, k, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if plan.remove {
		if err := client.Delete(ctx, k.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &k.UID}}); err != nil {
			return fmt.Errorf("delete unused generated claim %s/%s: %w", k.Namespace, k.Name, err)
		}
	}
	return nil
}

// made remembers the claims that were made and not seen yet, so that a pod does
// not get two for one. The zero value is ready. Safe for concurrent use.
type made struct {
	mu    sync.Mutex
	names map[types.UID]map[string]string
}

func (m *made) note(pod types.UID, podClaim, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		m.names = map[types.UID]map[string]string{}
	}
	if m.names[pod] == nil {
		m.names[pod] = map[string]string{}
	}
	m.names[pod][podClaim] = name
}

func (m *made) name(pod types.UID, podClaim string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.names[pod][podClaim]
}

func (m *made) seen(pod types.UID, podClaim string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.names[pod], podClaim)
	if len(m.names[pod]) == 0 {
		delete(m.names, pod)
	}
}

func (m *made) forget(pod types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.names, pod)
}
