package simulate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/store"
	"proa/test/history"
)

// succeeded is a job, or one index of it.
type succeeded struct {
	job   types.UID
	index string
}

// judgeRooms holds a change against what concerns objects of every kind.
func (a *audit) judgeRooms(ev store.Event) {
	key := ev.KV.Key
	made := !ev.Deleted && !a.live[key]
	if ev.Deleted {
		delete(a.live, key)
	} else {
		a.live[key] = true
	}
	a.judgeSpace(key, made, ev.Deleted)
	a.judgeCustom(ev, made)
	if made {
		a.judgeQuota(key)
	}
}

// judgeSpace: what is in a namespace goes before it.
func (a *audit) judgeSpace(key string, made, gone bool) {
	root := definition(namespacesResource).Root()
	if name, ok := strings.CutPrefix(key, root); ok {
		if gone {
			if left := a.within("/" + name + "/"); len(left) > 0 {
				a.world.failf("namespace %s is gone and leaves %v", name, left)
			}
		}
		return
	}
	for i := range a.world.plan.users {
		if space := fmt.Sprintf("user-%d", i); made && strings.Contains(key, "/"+space+"/") && !a.live[root+space] {
			a.world.failf("%s was made in a namespace that is gone", key)
		}
	}
}

// within are the keys that have a part.
func (a *audit) within(part string) (keys []string) {
	for key := range a.live {
		if strings.Contains(key, part) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// judgeCustom: a definition goes after its objects. It also takes in boats, which
// the table does not know.
func (a *audit) judgeCustom(ev store.Event, made bool) {
	key, rafts := ev.KV.Key, customRoot(raftsResource)
	definition := definition(crdsResource).Key("", raftsResource.Resource+"."+customGroup)
	if key == definition && ev.Deleted {
		if left := a.within(rafts); len(left) > 0 {
			a.world.failf("the definition of rafts is gone and leaves %v", left)
		}
	}
	if strings.HasPrefix(key, rafts) && made && !a.live[definition] {
		a.world.failf("%s was made without a definition", key)
	}
	root := customRoot(boatsResource)
	if !strings.HasPrefix(key, root) {
		return
	}
	a.changes[root] = append(a.changes[root], change{ev.KV.ModRevision, key, ev.Deleted})
	if ev.Deleted {
		delete(a.boats, key)
		return
	}
	var boat metav1.PartialObjectMetadata
	if err := json.Unmarshal(ev.KV.Value, &boat); err != nil {
		a.world.failf("%s cannot be decoded: %v", key, err)
		return
	}
	a.boats[key] = boat.UID
}

// judgeQuota: a namespace never has more than its quotas allow.
func (a *audit) judgeQuota(created string) {
	for _, q := range a.quotas {
		for name, root := range map[v1.ResourceName]string{
			"count/configmaps": definition(configMapsResource).Root(), v1.ResourcePods: definition(podsResource).Root(),
		} {
			hard, ok := q.Status.Hard[name]
			space := root + q.Namespace + "/"
			if !ok || !strings.HasPrefix(created, space) {
				continue
			}
			// The time that a request is given does not jump on a real machine.
			if n := len(a.within(space)); int64(n) > hard.Value() && time.Since(a.world.jumped()) > blind {
				a.world.failf("namespace %s has %d %s, and its quota is %s (used by its status: %v)", q.Namespace, n, name, hard.String(), q.Status.Used)
			}
		}
	}
}

// judgeOrdinal: a stateful set has no pod beyond those that it ever asked for.
func (a *audit) judgeOrdinal(key string, created *v1.Pod) {
	owner := metav1.GetControllerOf(created)
	if owner == nil || owner.Kind != "StatefulSet" {
		return
	}
	a.names[created.UID] = created.Namespace + "/" + created.Name
	n, err := strconv.Atoi(created.Name[strings.LastIndex(created.Name, "-")+1:])
	if most, known := a.most[owner.UID]; err != nil || known && n >= most {
		a.world.failf("%s is beyond the %d pods that its set ever asked for", key, most)
	}
}

// identity is the name that a pod has of its stateful set, or "".
func (a *audit) identity(pod types.UID) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[pod]
}

// judgeDaemon: a daemon set has one pod on a node.
func (a *audit) judgeDaemon(created *v1.Pod) {
	owner := metav1.GetControllerOf(created)
	if owner == nil || owner.Kind != "DaemonSet" {
		return
	}
	node, n := daemonNode(created), 1
	for _, p := range a.pods {
		if o := metav1.GetControllerOf(p); o != nil && o.UID == owner.UID && p.DeletionTimestamp == nil && !history.Finished(p) && daemonNode(p) == node {
			n++
		}
	}
	if n > 1+a.excused[owner.UID] {
		a.world.failf("DaemonSet %s/%s has %d pods for node %s (%d creations had no answer)", created.Namespace, owner.Name, n, node, a.excused[owner.UID])
	}
}

// daemonNode is the node that a daemon is for.
func daemonNode(p *v1.Pod) string {
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, t := range p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range t.MatchFields {
			return strings.Join(f.Values, ",")
		}
	}
	return ""
}

// judgeJob: what a job has counted it does not forget, and what it has come to
// is final.
func (a *audit) judgeJob(key string, was, is *batchv1.Job) {
	if n := is.Spec.Completions; n != nil && is.Status.Succeeded > *n {
		a.world.failf("%s counts %d successes of %d", key, is.Status.Succeeded, *n)
	}
	if was == nil || was.UID != is.UID {
		return
	}
	if is.Status.Succeeded < was.Status.Succeeded || is.Status.Failed < was.Status.Failed {
		a.world.failf("%s counted %d successes and %d failures, and now %d and %d", key, was.Status.Succeeded, was.Status.Failed, is.Status.Succeeded, is.Status.Failed)
	}
	if x, y := outcome(was), outcome(is); x != "" && x != y {
		a.world.failf("%s was %s and is now %q", key, x, y)
	}
}

// outcome of a job, "" while it has none.
func outcome(j *batchv1.Job) batchv1.JobConditionType {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == v1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}

// judgeSuccess: a job is not done more often than it asked for. A pod that is
// being deleted has been replaced, and may succeed all the same.
func (a *audit) judgeSuccess(was, is *v1.Pod) {
	if was == nil || is == nil || was.Status.Phase == v1.PodSucceeded || is.Status.Phase != v1.PodSucceeded || is.DeletionTimestamp != nil {
		return
	}
	owner := metav1.GetControllerOf(is)
	if owner == nil || owner.Kind != "Job" {
		return
	}
	for _, j := range a.jobs {
		if j.UID != owner.UID {
			continue
		}
		s, most := succeeded{job: j.UID}, int(*j.Spec.Completions)
		if index, ok := is.Annotations[batchv1.JobCompletionIndexAnnotation]; ok {
			s.index, most = index, 1
		}
		a.done[s]++
		if most += a.excused[j.UID]; a.done[s] > most {
			a.world.failf("Job %s/%s %s has succeeded %d times of %d (%d creations had no answer)", j.Namespace, j.Name, s.index, a.done[s], most, a.excused[j.UID])
		}
	}
}

// blind is for how long a controller may not know of a pod that was lost, or of a
// clock that has jumped.
const blind = time.Minute

// judgeBudget: an eviction leaves as many pods as the budget of the harbour asks
// for, unless others were lost meanwhile.
func (a *audit) judgeBudget(was, is *v1.Pod) {
	if was == nil || was.Namespace != harbour {
		return
	}
	if !evicted(was) && (is == nil || !ready(is) || is.DeletionTimestamp != nil && !evicted(is)) && ready(was) {
		a.shaken = time.Now()
	}
	// It is marked before, by a request that may come to nothing.
	if is == nil || was.DeletionTimestamp != nil || is.DeletionTimestamp == nil || !evicted(is) || !ready(was) {
		return
	}
	n := 0
	for _, p := range a.pods {
		if p.Namespace == harbour && p.UID != is.UID && ready(p) && p.DeletionTimestamp == nil {
			n++
		}
	}
	if n < afloat && time.Since(a.shaken) > blind && time.Since(a.world.jumped()) > blind {
		a.world.failf("%s/%s is evicted, and %d pods are left of the %d that have to be", is.Namespace, is.Name, n, afloat)
	}
}

func evicted(p *v1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == "EvictionByEvictionAPI"
	})
}
