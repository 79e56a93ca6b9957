package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
)

// writers is how many pods are written at once. More would only queue up in the
// API server.
const writers = 8

// Writer keeps the API's view of the node's pods up to date. It is safe for
// concurrent use. Everything is keyed by the UID the pod has on the node; for a
// static pod the object written is its mirror.
type Writer struct {
	client kubernetes.Interface
	log    *slog.Logger
	queue  workqueue.TypedRateLimitingInterface[types.UID]

	mu   sync.Mutex
	pods map[types.UID]*entry
}

// entry is what the writer knows of one pod.
type entry struct {
	// status is the newest status, nil before the first.
	status *v1.PodStatus
	// api is the newest API object known, nil while there is none.
	api *v1.Pod
	// finalize is set once the pod may be deleted for good.
	finalize bool
	// gone is set once the API has no such pod any more.
	gone bool
}

// NewWriter returns a writer; with a nil client it only remembers.
func NewWriter(client kubernetes.Interface, log *slog.Logger) *Writer {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](50*time.Millisecond, 30*time.Second)
	return &Writer{
		client: client,
		log:    log,
		queue:  workqueue.NewTypedRateLimitingQueue(limiter),
		pods:   map[types.UID]*entry{},
	}
}

// Run sends statuses until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	wg.Wait()
}

// Set makes s the pod's newest status. Times are cut to the second, as the API
// keeps them, so that a status read back compares equal.
func (w *Writer) Set(uid types.UID, s v1.PodStatus) {
	normalize(&s)
	w.mu.Lock()
	e := w.at(uid)
	if e.status != nil && equality.Semantic.DeepEqual(*e.status, s) {
		w.mu.Unlock()
		return
	}
	e.status = &s
	w.mu.Unlock()
	w.queue.Add(uid)
}

// Get returns the newest status set for the pod.
func (w *Writer) Get(uid types.UID) (v1.PodStatus, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.pods[uid]; e != nil && e.status != nil {
		return *e.status, true
	}
	return v1.PodStatus{}, false
}

// Base tells the writer of the API object behind a pod: nil when there is none.
// An object older than one already known is ignored.
func (w *Writer) Base(uid types.UID, api *v1.Pod) {
	w.mu.Lock()
	e := w.at(uid)
	changed := false
	switch {
	case api == nil:
		e.api = nil
	case e.api == nil || e.api.UID != api.UID || newer(api, e.api):
		e.api, e.gone, changed = api, false, e.status != nil
	}
	w.mu.Unlock()
	if changed {
		w.queue.Add(uid)
	}
}

// Finalize deletes the API object of a pod that has ended, once its last status
// is written. Call it only when no container and no volume of it is left.
func (w *Writer) Finalize(uid types.UID) {
	w.mu.Lock()
	w.at(uid).finalize = true
	w.mu.Unlock()
	w.queue.Add(uid)
}

// Forget drops what is known of a pod.
func (w *Writer) Forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pods, uid)
}

func (w *Writer) at(uid types.UID) *entry {
	e := w.pods[uid]
	if e == nil {
		e = &entry{}
		w.pods[uid] = e
	}
	return e
}

// newer reports whether a was written after b. Versions that do not compare
// count as newer, for the API's word is the best there is.
func newer(a, b *v1.Pod) bool {
	c, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err != nil || c > 0
}

func (w *Writer) next(ctx context.Context) bool {
	uid, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(uid)
	err := w.sync(ctx, uid)
	switch {
	case err == nil:
		w.queue.Forget(uid)
	case ctx.Err() != nil:
	default:
		w.log.Warn("pod status not written; will retry", "uid", uid, "error", err)
		w.queue.AddRateLimited(uid)
	}
	return true
}

// sync writes the newest status of one pod, and deletes the pod if that is due.
// One pod is never synced twice at once: the queue sees to it.
func (w *Writer) sync(ctx context.Context, uid types.UID) error {
	w.mu.Lock()
	e := w.pods[uid]
	if e == nil || e.api == nil || e.gone || w.client == nil {
		w.mu.Unlock()
		return nil
	}
	api, s, finalize := e.api, e.status, e.finalize
	w.mu.Unlock()

	pods := w.client.CoreV1().Pods(api.Namespace)
	if s != nil {
		patch, err := Patch(api, *s)
		if err != nil {
			return err
		}
		if patch != nil {
			got, err := pods.Patch(ctx, api.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
			if lost(err) {
				w.settle(uid, api, nil)
				return nil
			}
			if err != nil {
				return fmt.Errorf("patch status of pod %s/%s: %w", api.Namespace, api.Name, err)
			}
			w.settle(uid, api, got)
			api = got
		}
	}
	if !finalize || api.DeletionTimestamp == nil {
		return nil
	}
	zero := int64(0)
	err := pods.Delete(ctx, api.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(api.UID))})
	if err != nil && !lost(err) {
		return fmt.Errorf("delete ended pod %s/%s: %w", api.Namespace, api.Name, err)
	}
	return nil
}

// settle records the outcome of a write: the object as it is now, or that there
// is none with this UID.
func (w *Writer) settle(uid types.UID, sent, got *v1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.pods[uid]
	if e == nil || e.api == nil || e.api.UID != sent.UID {
		return
	}
	if got == nil {
		e.gone = true
	} else if newer(got, e.api) {
		e.api = got
	}
}

// lost reports that the object is gone or another one has taken its name.
func lost(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// Patch returns the strategic merge patch that gives the API pod the status s,
// leaving conditions of others alone, or nil if there is nothing to change. The
// patch names the UID, so that it cannot hit a pod of the same name made since.
func Patch(api *v1.Pod, s v1.PodStatus) ([]byte, error) {
	s = merge(&api.Status, s)
	if equality.Semantic.DeepEqual(api.Status, s) {
		return nil, nil
	}
	before, err := json.Marshal(v1.Pod{Status: api.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: api.UID}, Status: s})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, v1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("compute status patch: %w", err)
	}
	return patch, nil
}

// merge adds to s the conditions of others, and keeps an end that the API
// already shows.
func merge(api *v1.PodStatus, s v1.PodStatus) v1.PodStatus {
	if len(api.Conditions) > 0 {
		merged := append([]v1.PodCondition(nil), s.Conditions...)
		for i := range api.Conditions {
			if c := &api.Conditions[i]; !Owned(c.Type) && condition(merged, c.Type) == nil {
				merged = append(merged, *c)
			}
		}
		// In the order the API has them, where a patch would leave them.
		s.Conditions = ordered(api.Conditions, merged)
	}
	s.QOSClass, s.NominatedNodeName, s.Resize = api.QOSClass, api.NominatedNodeName, api.Resize
	s.ResourceClaimStatuses, s.ExtendedResourceClaimStatus = api.ResourceClaimStatuses, api.ExtendedResourceClaimStatus
	return s
}

// ordered returns list with the conditions that are also in like first, in its
// order, and gives the times of like to those that say the same.
func ordered(like, list []v1.PodCondition) []v1.PodCondition {
	out := make([]v1.PodCondition, 0, len(list))
	for i := range like {
		if c := condition(list, like[i].Type); c != nil {
			if c.Status == like[i].Status {
				c.LastTransitionTime = like[i].LastTransitionTime
				c.LastProbeTime = like[i].LastProbeTime
			}
			out = append(out, *c)
		}
	}
	for i := range list {
		if condition(like, list[i].Type) == nil {
			out = append(out, list[i])
		}
	}
	return out
}

// normalize cuts every time in a status to the second.
func normalize(s *v1.PodStatus) {
	cut := func(t *metav1.Time) { *t = t.Rfc3339Copy() }
	if s.StartTime != nil {
		t := s.StartTime.Rfc3339Copy()
		s.StartTime = &t
	}
	for i := range s.Conditions {
		cut(&s.Conditions[i].LastTransitionTime)
		cut(&s.Conditions[i].LastProbeTime)
	}
	state := func(st *v1.ContainerState) {
		if r := st.Running; r != nil {
			st.Running = &v1.ContainerStateRunning{StartedAt: r.StartedAt.Rfc3339Copy()}
		}
		if t := st.Terminated; t != nil {
			c := *t
			cut(&c.StartedAt)
			cut(&c.FinishedAt)
			st.Terminated = &c
		}
	}
	for _, list := range [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			state(&list[i].State)
			state(&list[i].LastTerminationState)
		}
	}
}
