package simulate

import (
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"proa/cache/codec"
	"proa/resource"
	"proa/resource/builtin"
	"proa/store"
	"proa/test/history"
)

// audit sees every change of the store as it is made, and holds it against the
// rules.
type audit struct {
	world *world
	kinds map[string]*resource.Definition // by root

	mu          sync.Mutex
	pods        map[string]*v1.Pod
	nodes       map[string]*v1.Node
	sets        map[string]*appsv1.ReplicaSet
	deployments map[string]*appsv1.Deployment
	spaces      map[string]*v1.Namespace
	stateful    map[string]*appsv1.StatefulSet
	daemons     map[string]*appsv1.DaemonSet
	jobs        map[string]*batchv1.Job
	quotas      map[string]*v1.ResourceQuota
	crds        map[string]*apiextensionsv1.CustomResourceDefinition
	pages       map[string]*v1.ConfigMap
	// live are the keys of all objects, and boats their UIDs by key.
	live  map[string]bool
	boats map[string]types.UID
	// names are the identities of pods of stateful sets.
	names map[types.UID]string
	// done counts the pods of a job that have succeeded, by its index where it has
	// indexes.
	done map[succeeded]int
	// shaken is when a pod of the harbour was last lost other than by an eviction.
	shaken time.Time
	// most is the largest number of pods that a set or a job, or replicas in sets
	// that a deployment, was ever allowed.
	most map[types.UID]int
	// excused are pods of a set that were created by a request whose outcome
	// nobody was told, so that a second one may have been made in its place.
	excused map[types.UID]int
	secret  map[string]bool // keys of writes that nobody was told of
	// unsure are deployments of which a set was resized by such a write.
	unsure  map[types.UID]bool
	changes map[string][]change
	gaps    []gap
	// noisy is the last change that is no heartbeat.
	noisy    time.Time
	noisyKey string
}

// change is one write to an object.
type change struct {
	rev     int64
	key     string
	deleted bool
}

// gap is a stretch of history that was forgotten before the control plane had
// seen it.
type gap struct{ after, upTo int64 }

// The kinds that are looked into.
var (
	podsResource       = v1.SchemeGroupVersion.WithResource("pods")
	nodesResource      = v1.SchemeGroupVersion.WithResource("nodes")
	namespacesResource = v1.SchemeGroupVersion.WithResource("namespaces")
	configMapsResource = v1.SchemeGroupVersion.WithResource("configmaps")
	setsResource       = appsv1.SchemeGroupVersion.WithResource("replicasets")
	deploysResource    = appsv1.SchemeGroupVersion.WithResource("deployments")
	statefulResource   = appsv1.SchemeGroupVersion.WithResource("statefulsets")
	daemonsResource    = appsv1.SchemeGroupVersion.WithResource("daemonsets")
	jobsResource       = batchv1.SchemeGroupVersion.WithResource("jobs")
	quotasResource     = v1.SchemeGroupVersion.WithResource("resourcequotas")
)

// table is what is served; it is not changed by those who share it.
var table = sync.OnceValue(builtin.Table)

func newAudit(w *world) *audit {
	a := &audit{
		world: w, kinds: map[string]*resource.Definition{}, pods: map[string]*v1.Pod{}, nodes: map[string]*v1.Node{},
		sets: map[string]*appsv1.ReplicaSet{}, deployments: map[string]*appsv1.Deployment{}, spaces: map[string]*v1.Namespace{},
		stateful: map[string]*appsv1.StatefulSet{}, daemons: map[string]*appsv1.DaemonSet{}, jobs: map[string]*batchv1.Job{},
		quotas: map[string]*v1.ResourceQuota{}, crds: map[string]*apiextensionsv1.CustomResourceDefinition{}, pages: map[string]*v1.ConfigMap{},
		live: map[string]bool{}, boats: map[string]types.UID{}, names: map[types.UID]string{}, done: map[succeeded]int{},
		most: map[types.UID]int{}, excused: map[types.UID]int{}, secret: map[string]bool{}, unsure: map[types.UID]bool{}, changes: map[string][]change{},
	}
	for _, r := range []schema.GroupVersionResource{
		podsResource, nodesResource, namespacesResource, configMapsResource, setsResource, deploysResource,
		statefulResource, daemonsResource, jobsResource, quotasResource, crdsResource,
	} {
		def := definition(r)
		a.kinds[def.Root()] = def
	}
	return a
}

func definition(r schema.GroupVersionResource) *resource.Definition {
	m, ok := table().View().Resource(r)
	if !ok {
		panic("no such resource: " + r.String()) // the list above is wrong
	}
	return m.Definition
}

// untold notes that the next write of a key will be made, and nobody be told.
// It excuses one more pod of the set that owns it, or the sets of the
// deployment that owns it.
func (a *audit) untold(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secret[key] = true
}

// forgotten notes a gap in what the control plane has seen.
func (a *audit) forgotten(after, upTo int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps = append(a.gaps, gap{after, upTo})
}

// heartbeats are written for ever.
var heartbeats = []string{"/registry/leases/", "/registry/minions/", "/registry/events/"}

// see takes in one change. It is called under the store's lock.
func (a *audit) see(ev store.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := ev.KV.Key
	beat := false
	for _, h := range heartbeats {
		beat = beat || strings.HasPrefix(key, h)
	}
	if !beat {
		a.noisy, a.noisyKey = time.Now(), key
	}
	a.judgeRooms(ev)
	for root, def := range a.kinds {
		if !strings.HasPrefix(key, root) {
			continue
		}
		a.changes[root] = append(a.changes[root], change{ev.KV.ModRevision, key, ev.Deleted})
		var obj resource.Object
		if !ev.Deleted {
			var err error
			if obj, err = (codec.Storage{}).Decode(def, ev.KV.Value); err != nil {
				a.world.failf("%s cannot be decoded: %v", key, err)
				return
			}
		}
		a.judge(key, obj)
		return
	}
}

// judge holds a new state, nil for a removal, against the one before.
func (a *audit) judge(key string, obj resource.Object) {
	switch obj := obj.(type) {
	case *v1.Pod:
		a.judgePod(key, a.pods[key], obj)
		a.pods[key] = obj
	case *v1.Node:
		a.nodes[obj.Name] = obj
	case *v1.Namespace:
		a.spaces[key] = obj
	case *v1.ConfigMap:
		a.pages[key] = obj
	case *v1.ResourceQuota:
		a.quotas[key] = obj
	case *apiextensionsv1.CustomResourceDefinition:
		a.crds[key] = obj
	case *appsv1.StatefulSet:
		a.stateful[key] = obj
		a.allow(obj.UID, int(*obj.Spec.Replicas))
	case *appsv1.DaemonSet:
		a.daemons[key] = obj
	case *batchv1.Job:
		a.judgeJob(key, a.jobs[key], obj)
		a.jobs[key] = obj
		a.allow(obj.UID, int(*obj.Spec.Parallelism))
	case *appsv1.ReplicaSet:
		a.sets[key] = obj
		a.allow(obj.UID, int(*obj.Spec.Replicas))
		a.judgeDeployment(key, obj)
	case *appsv1.Deployment:
		a.deployments[key] = obj
		a.allow(obj.UID, int(*obj.Spec.Replicas)+surge(obj))
	case nil:
		a.judgeBudget(a.pods[key], nil)
		delete(a.pods, key)
		delete(a.sets, key)
		delete(a.deployments, key)
		delete(a.spaces, key)
		delete(a.pages, key)
		delete(a.quotas, key)
		delete(a.crds, key)
		delete(a.stateful, key)
		delete(a.daemons, key)
		delete(a.jobs, key)
		if name, ok := strings.CutPrefix(key, definition(nodesResource).Root()); ok {
			delete(a.nodes, name)
		}
	}
}

func (a *audit) allow(uid types.UID, n int) { a.most[uid] = max(a.most[uid], n) }

// surge is how many pods a deployment may have beyond its replicas.
func surge(d *appsv1.Deployment) int {
	r := d.Spec.Strategy.RollingUpdate
	if r == nil || r.MaxSurge == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxSurge, int(*d.Spec.Replicas), true)
	if err != nil {
		return 0
	}
	return n
}

func (a *audit) judgePod(key string, was, is *v1.Pod) {
	a.judgeBudget(was, is)
	a.judgeSuccess(was, is)
	switch {
	case was == nil:
		if is.Spec.NodeName != "" {
			a.judgeNode(is)
		}
		a.judgeSet(key, is)
		a.judgeDaemon(is)
		a.judgeOrdinal(key, is)
	case was.UID != is.UID:
		a.world.failf("%s has become another object without a removal: %s, then %s", key, was.UID, is.UID)
	case was.Spec.NodeName != "" && was.Spec.NodeName != is.Spec.NodeName:
		a.world.failf("%s was bound to %s and is bound again, to %q", key, was.Spec.NodeName, is.Spec.NodeName)
	case was.Spec.NodeName == "" && is.Spec.NodeName != "":
		a.judgeNode(is)
	case history.Finished(was) && was.Status.Phase != is.Status.Phase:
		a.world.failf("%s had %s and is now %s", key, was.Status.Phase, is.Status.Phase)
	}
}

// judgeNode: the pods that are bound to a node fit on it together.
func (a *audit) judgeNode(bound *v1.Pod) {
	n := a.nodes[bound.Spec.NodeName]
	if n == nil {
		return // it was deleted while the pod was on its way
	}
	pods := []*v1.Pod{bound}
	for _, p := range a.pods {
		if p.UID != bound.UID && p.Spec.NodeName == n.Name {
			pods = append(pods, p)
		}
	}
	if why := history.Crowded(n, pods); why != "" {
		a.world.failf("node %s is overcommitted by %s/%s: %s", n.Name, bound.Namespace, bound.Name, why)
	}
}

// judgeSet: a set never has more pods than it ever asked for, and a job no more
// at once.
func (a *audit) judgeSet(key string, created *v1.Pod) {
	owner := metav1.GetControllerOf(created)
	if owner == nil {
		return
	}
	if a.secret[key] {
		delete(a.secret, key)
		a.excused[owner.UID]++
	}
	if owner.Kind != "ReplicaSet" && owner.Kind != "Job" {
		return
	}
	n := 1
	for _, p := range a.pods {
		if o := metav1.GetControllerOf(p); o != nil && o.UID == owner.UID && p.DeletionTimestamp == nil && !history.Finished(p) {
			n++
		}
	}
	if most := a.most[owner.UID] + a.excused[owner.UID]; n > most {
		a.world.failf("%s %s/%s has %d pods, and may have %d (%d of them for creations without an answer)", owner.Kind, created.Namespace, owner.Name, n, most, a.excused[owner.UID])
	}
}

// judgeDeployment: the sets of a deployment never ask for more than replicas
// and surge.
func (a *audit) judgeDeployment(key string, changed *appsv1.ReplicaSet) {
	owner := metav1.GetControllerOf(changed)
	if owner == nil {
		return
	}
	if a.secret[key] {
		delete(a.secret, key)
		a.unsure[owner.UID] = true
	}
	if a.unsure[owner.UID] {
		return
	}
	n := 0
	for _, s := range a.sets {
		if o := metav1.GetControllerOf(s); o != nil && o.UID == owner.UID {
			n += int(*s.Spec.Replicas)
		}
	}
	if most, known := a.most[owner.UID]; known && n > most {
		a.world.failf("the sets of deployment %s/%s ask for %d pods together, and may ask for %d", changed.Namespace, owner.Name, n, most)
	}
}

// wrote reports whether an object was written at a revision.
func (a *audit) wrote(key string, rev int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for root, list := range a.changes {
		if !strings.HasPrefix(key, root) {
			continue
		}
		for i := len(list) - 1; i >= 0 && list[i].rev >= rev; i-- {
			if list[i].rev == rev {
				return list[i].key == key
			}
		}
	}
	return false
}

// quiet is how long ago the last change was that is no heartbeat, and what it
// was about.
func (a *audit) quiet() (time.Duration, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.noisy), a.noisyKey
}
