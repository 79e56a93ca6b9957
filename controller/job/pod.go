package job

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"proa/controller/podstate"
)

// unindexed is the index of a pod without one.
const unindexed = -1

func isIndexed(j *batchv1.Job) bool {
	return j.Spec.CompletionMode != nil && *j.Spec.CompletionMode == batchv1.IndexedCompletion
}

func perIndex(j *batchv1.Job) bool { return isIndexed(j) && j.Spec.BackoffLimitPerIndex != nil }

func suspended(j *batchv1.Job) bool { return j.Spec.Suspend != nil && *j.Spec.Suspend }

// patient reports whether a pod that is being deleted is replaced only once it
// has ended.
func patient(j *batchv1.Job) bool {
	return j.Spec.PodFailurePolicy != nil || j.Spec.PodReplacementPolicy != nil && *j.Spec.PodReplacementPolicy == batchv1.Failed
}

func tracked(p *v1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

// failed reports whether a pod counts as failed: what is being deleted may
// never come to say so itself.
func failed(j *batchv1.Job, p *v1.Pod) bool {
	return p.Status.Phase == v1.PodFailed || !patient(j) && p.DeletionTimestamp != nil && p.Status.Phase != v1.PodSucceeded
}

func indexOf(p *v1.Pod) int {
	i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || i < 0 {
		return unindexed
	}
	return i
}

// number reads a count that a pod carries, which anybody may have changed.
func number(p *v1.Pod, annotation string) int32 {
	n, err := strconv.Atoi(p.Annotations[annotation])
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0
	}
	return int32(n)
}

// failuresOf are those of the index of a pod before it: that count, and that
// were ignored.
func failuresOf(p *v1.Pod) (counted, ignored int32) {
	return number(p, batchv1.JobIndexFailureCountAnnotation), number(p, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

// ended is when a pod has ended, as well as can be told.
func ended(p *v1.Pod) time.Time {
	sidecar := map[string]bool{}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		sidecar[c.Name] = c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
	}
	var last time.Time
	all := true
	see := func(s *v1.ContainerStatus) {
		if s.State.Terminated == nil || s.State.Terminated.FinishedAt.IsZero() {
			all = false
		} else if t := s.State.Terminated.FinishedAt.Time; t.After(last) {
			last = t
		}
	}
	for i := range p.Status.ContainerStatuses {
		see(&p.Status.ContainerStatuses[i])
	}
	for i := range p.Status.InitContainerStatuses {
		if s := &p.Status.InitContainerStatuses[i]; sidecar[s.Name] {
			see(s)
		}
	}
	if all && !last.IsZero() {
		return last
	}
	if c := podstate.Condition(p, v1.PodReady); c != nil && c.Status == v1.ConditionFalse && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.Time
	}
	if p.DeletionTimestamp != nil {
		grace := int64(0)
		if p.DeletionGracePeriodSeconds != nil {
			grace = *p.DeletionGracePeriodSeconds
		}
		return p.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
	}
	return p.CreationTimestamp.Time
}

// Delays before a pod is made in place of one that has failed.
const (
	firstDelay = 10 * time.Second
	lastDelay  = 10 * time.Minute
)

// delay is how much is left of the wait after so many failures, the last of
// them at a time.
func delay(failures int32, last, now time.Time) time.Duration {
	if failures == 0 {
		return 0
	}
	d := firstDelay
	for i := int32(1); i < failures && d < lastDelay; i++ {
		d *= 2
	}
	return max(0, min(d, lastDelay)-now.Sub(last))
}

// recent counts the failures since the last success, and says when the last of
// them was.
func recent(j *batchv1.Job, pods []*v1.Pod) (failures int32, last time.Time) {
	var success time.Time
	for _, p := range pods {
		if t := ended(p); p.Status.Phase == v1.PodSucceeded && t.After(success) {
			success = t
		}
	}
	for _, p := range pods {
		if !failed(j, p) {
			continue
		}
		if t := ended(p); t.After(success) {
			failures++
			if t.After(last) {
				last = t
			}
		}
	}
	return failures, last
}

// restarted reports whether the containers of pods that are restarted in place
// have failed more often than the job allows.
func restarted(j *batchv1.Job, pods []*v1.Pod) bool {
	if j.Spec.Template.Spec.RestartPolicy != v1.RestartPolicyOnFailure {
		return false
	}
	n := int32(0)
	for _, p := range pods {
		if p.Status.Phase != v1.PodRunning && p.Status.Phase != v1.PodPending {
			continue
		}
		for _, list := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range list {
				n += list[i].RestartCount
			}
		}
	}
	if limit(j) == 0 {
		return n > 0
	}
	return n >= limit(j)
}

// longestBase is what is left of a generated name before its random end.
const longestBase = 58

// complete makes a pod of the template one of the job: tracked, and with its
// index, where it has one. replaced is the pod of that index which failed.
func complete(j *batchv1.Job, pod *v1.Pod, index int, replaced *v1.Pod) {
	if !tracked(pod) {
		pod.Finalizers = append(pod.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if index == unindexed {
		return
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	text := strconv.Itoa(index)
	pod.Annotations[batchv1.JobCompletionIndexAnnotation] = text
	pod.Labels[batchv1.JobCompletionIndexAnnotation] = text
	pod.Spec.Hostname = j.Name + "-" + text
	end := "-" + text + "-"
	pod.GenerateName = j.Name[:min(len(j.Name), longestBase-len(end))] + end
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			addIndex(&list[i])
		}
	}
	if !perIndex(j) {
		return
	}
	counted, ignored := int32(0), int32(0)
	if replaced != nil {
		counted, ignored = failuresOf(replaced)
		if judge(j.Spec.PodFailurePolicy, replaced).ignored {
			ignored++
		} else {
			counted++
		}
	}
	pod.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(int(counted))
	if ignored > 0 {
		pod.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(int(ignored))
	}
}

const indexVariable = "JOB_COMPLETION_INDEX"

func addIndex(c *v1.Container) {
	if slices.ContainsFunc(c.Env, func(e v1.EnvVar) bool { return e.Name == indexVariable }) {
		return
	}
	c.Env = append(c.Env, v1.EnvVar{Name: indexVariable, ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{
		FieldPath: fmt.Sprintf("metadata.labels['%s']", batchv1.JobCompletionIndexAnnotation)}}})
}
