package node

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/cache"

	"proa/auth/podrefs"
)

// Graph knows which objects each node needs. Safe for concurrent use.
type Graph struct {
	mu sync.RWMutex
	// pods that are bound to a node.
	pods map[object]*podRefs
	// needs counts, for each node, the pods that refer to an object.
	needs map[string]map[object]int
	// volumes by name, and those that use a secret.
	volumes  map[string]*volumeRefs
	bySecret map[object]map[string]bool
	// attachments and slices belong to one node each.
	attachments, slices map[string]string
}

type kind uint8

const (
	pod kind = iota
	secret
	configMap
	claim
	account
	resourceClaim
	volume
	attachment
	slice
)

type object struct {
	kind            kind
	namespace, name string
}

type podRefs struct {
	node string
	refs []object
}

type volumeRefs struct {
	claim   object
	secrets []object
}

// NewGraph makes an empty graph.
func NewGraph() *Graph {
	return &Graph{
		pods: map[object]*podRefs{}, needs: map[string]map[object]int{},
		volumes: map[string]*volumeRefs{}, bySecret: map[object]map[string]bool{},
		attachments: map[string]string{}, slices: map[string]string{},
	}
}

// Set adds or replaces a pod, persistent volume, volume attachment or resource
// slice. Other objects are ignored.
func (g *Graph) Set(obj any) {
	switch o := obj.(type) {
	case *corev1.Pod:
		g.setPod(o)
	case *corev1.PersistentVolume:
		g.setVolume(o.Name, volumeOf(o))
	case *storagev1.VolumeAttachment:
		g.setOwner(g.attachments, o.Name, o.Spec.NodeName)
	case *resourcev1.ResourceSlice:
		n := ""
		if o.Spec.NodeName != nil {
			n = *o.Spec.NodeName
		}
		g.setOwner(g.slices, o.Name, n)
	}
}

// Delete removes what Set has added, given itself or an informer's tombstone.
func (g *Graph) Delete(obj any) {
	if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = t.Obj
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		g.mu.Lock()
		g.dropPod(object{pod, o.Namespace, o.Name})
		g.mu.Unlock()
	case *corev1.PersistentVolume:
		g.setVolume(o.Name, nil)
	case *storagev1.VolumeAttachment:
		g.setOwner(g.attachments, o.Name, "")
	case *resourcev1.ResourceSlice:
		g.setOwner(g.slices, o.Name, "")
	}
}

// Handler feeds the graph from an informer.
func (g *Graph) Handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    g.Set,
		UpdateFunc: func(_, obj any) { g.Set(obj) },
		DeleteFunc: g.Delete,
	}
}

func (g *Graph) setOwner(m map[string]string, name, node string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if node == "" {
		delete(m, name)
	} else {
		m[name] = node
	}
}

func (g *Graph) setPod(p *corev1.Pod) {
	key := object{pod, p.Namespace, p.Name}
	var now *podRefs
	if p.Spec.NodeName != "" {
		now = &podRefs{node: p.Spec.NodeName, refs: refsOf(p)}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.pods[key]
	if now == nil && was == nil || now != nil && was != nil && now.node == was.node && slices.Equal(now.refs, was.refs) {
		return
	}
	g.dropPod(key)
	if now == nil {
		return
	}
	g.pods[key] = now
	m := g.needs[now.node]
	if m == nil {
		m = map[object]int{}
		g.needs[now.node] = m
	}
	for _, r := range now.refs {
		m[r]++
	}
}

func (g *Graph) dropPod(key object) {
	p := g.pods[key]
	if p == nil {
		return
	}
	delete(g.pods, key)
	m := g.needs[p.node]
	for _, r := range p.refs {
		if m[r]--; m[r] == 0 {
			delete(m, r)
		}
	}
	if len(m) == 0 {
		delete(g.needs, p.node)
	}
}

// refsOf lists what the node of a pod needs for it, the pod itself first.
func refsOf(p *corev1.Pod) []object {
	refs := []object{{pod, p.Namespace, p.Name}}
	if podrefs.IsMirror(p) {
		return refs
	}
	add := func(k kind) func(string) {
		return func(name string) {
			if r := (object{k, p.Namespace, name}); !slices.Contains(refs, r) {
				refs = append(refs, r)
			}
		}
	}
	if p.Spec.ServiceAccountName != "" {
		add(account)(p.Spec.ServiceAccountName)
	}
	podrefs.Secrets(&p.Spec, add(secret))
	podrefs.ConfigMaps(&p.Spec, add(configMap))
	podrefs.Claims(p, add(claim))
	podrefs.ResourceClaims(p, add(resourceClaim))
	return refs
}

func (g *Graph) setVolume(name string, now *volumeRefs) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if was := g.volumes[name]; was != nil {
		for _, s := range was.secrets {
			delete(g.bySecret[s], name)
			if len(g.bySecret[s]) == 0 {
				delete(g.bySecret, s)
			}
		}
		delete(g.volumes, name)
	}
	if now == nil {
		return
	}
	g.volumes[name] = now
	for _, s := range now.secrets {
		if g.bySecret[s] == nil {
			g.bySecret[s] = map[string]bool{}
		}
		g.bySecret[s][name] = true
	}
}

// volumeOf returns what a bound volume is of and needs, nil where it is not
// bound.
func volumeOf(v *corev1.PersistentVolume) *volumeRefs {
	c := v.Spec.ClaimRef
	if c == nil {
		return nil
	}
	r := &volumeRefs{claim: object{claim, c.Namespace, c.Name}}
	// A reference without a namespace means the claim's.
	add := func(namespace, name string) {
		if namespace == "" {
			namespace = c.Namespace
		}
		if s := (object{secret, namespace, name}); name != "" && !slices.Contains(r.secrets, s) {
			r.secrets = append(r.secrets, s)
		}
	}
	ref := func(s *corev1.SecretReference) {
		if s != nil {
			add(s.Namespace, s.Name)
		}
	}
	switch src := &v.Spec.PersistentVolumeSource; {
	case src.AzureFile != nil:
		ns := ""
		if src.AzureFile.SecretNamespace != nil {
			ns = *src.AzureFile.SecretNamespace
		}
		add(ns, src.AzureFile.SecretName)
	case src.CephFS != nil:
		ref(src.CephFS.SecretRef)
	case src.Cinder != nil:
		ref(src.Cinder.SecretRef)
	case src.FlexVolume != nil:
		ref(src.FlexVolume.SecretRef)
	case src.RBD != nil:
		ref(src.RBD.SecretRef)
	case src.ScaleIO != nil:
		ref(src.ScaleIO.SecretRef)
	case src.ISCSI != nil:
		ref(src.ISCSI.SecretRef)
	case src.StorageOS != nil:
		if s := src.StorageOS.SecretRef; s != nil {
			add(s.Namespace, s.Name)
		}
	case src.CSI != nil:
		// The controller's secrets are not for nodes.
		ref(src.CSI.NodePublishSecretRef)
		ref(src.CSI.NodeStageSecretRef)
		ref(src.CSI.NodeExpandSecretRef)
	}
	return r
}

// has reports whether the node needs the object.
func (g *Graph) has(node string, o object) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.reaches(node, o, func(o object) bool { return g.needs[node][o] > 0 })
}

// with is has, for a node with these pods instead of those of the graph.
func (g *Graph) with(pods []*corev1.Pod) func(node string, o object) bool {
	needs := map[object]bool{}
	for _, p := range pods {
		for _, r := range refsOf(p) {
			needs[r] = true
		}
	}
	return func(node string, o object) bool {
		g.mu.RLock()
		defer g.mu.RUnlock()
		return g.reaches(node, o, func(o object) bool { return needs[o] })
	}
}

// reaches follows the graph from a node whose pods refer to what needs says. The
// lock is held.
func (g *Graph) reaches(node string, o object, needs func(object) bool) bool {
	usesVolume := func(name string) bool {
		v := g.volumes[name]
		return v != nil && needs(v.claim)
	}
	switch o.kind {
	case volume:
		return usesVolume(o.name)
	case attachment:
		return g.attachments[o.name] == node
	case slice:
		return g.slices[o.name] == node
	}
	if needs(o) {
		return true
	}
	if o.kind == secret {
		for v := range g.bySecret[o] {
			if usesVolume(v) {
				return true
			}
		}
	}
	return false
}
