package job

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/controller/podstate"
)

const (
	// burst is how many pods one reconcile makes, or removes, at the most.
	burst = 500
	// maxUncounted bounds the list of uids in a status.
	maxUncounted = 500
)

// view is what a decision is made from.
type view struct {
	job  *batchv1.Job
	pods []*v1.Pod // that the job owns
	now  time.Time
	// settled: what was asked for before has been seen.
	settled bool
}

// plan is what one reconcile has to do, in this order.
type plan struct {
	// stop are active pods of a job that ends. They keep their finalizers until
	// they are counted.
	stop []*v1.Pod
	// remove are active pods that are too many. They do not count.
	remove []*v1.Pod
	// create are the indexes of pods to be made (unindexed where there are
	// none), in place of those that failed.
	create   []int
	replaces map[int]*v1.Pod
	// status is written before the finalizers of release are removed. Its
	// Active does not count what is created.
	status  batchv1.JobStatus
	release []*v1.Pod
	events  []event
	// again is when time alone will change the answer, zero for never.
	again time.Duration
}

type event struct{ kind, reason, message string }

func (p *plan) wait(d time.Duration) {
	if d > 0 && (p.again == 0 || d < p.again) {
		p.again = d
	}
}

// state is what is found out on the way.
type state struct {
	view
	p      plan
	active []*v1.Pod
	ready  int32
	ending int32 // pods that are being deleted and have not ended
	// uncounted are the uids in the status whose pods are still tracked.
	uncountedSucceeded, uncountedFailed map[types.UID]bool
	succeeded, failed                   int32
	counted, done                       indexes // succeeded, as the status has it and in fact
	failedIndexes                       indexes
	// waiting are failed pods by index that are kept until they are replaced:
	// what their index has failed is written on them.
	waiting map[int]*v1.Pod
	// end is the condition with which the job ends, Failed or Complete.
	end *batchv1.JobCondition
}

func decide(v view) plan {
	s := &state{view: v}
	s.p.status = *v.job.Status.DeepCopy()
	s.count()
	s.judge()
	if s.end != nil {
		s.stop()
	} else {
		s.manage()
	}
	s.track()
	s.finish()
	return s.p
}

func completions(j *batchv1.Job) int {
	if j.Spec.Completions == nil {
		return 0
	}
	return int(*j.Spec.Completions)
}

func limit(j *batchv1.Job) int32 {
	if j.Spec.BackoffLimit == nil {
		return 6
	}
	return *j.Spec.BackoffLimit
}

// valid reports whether a pod can count: in an indexed job it needs an index
// that is asked for.
func (s *state) valid(p *v1.Pod) bool {
	i := indexOf(p)
	return !isIndexed(s.job) || i != unindexed && i < completions(s.job)
}

// count settles what was counted before and finds what is new.
func (s *state) count() {
	st := &s.p.status
	if st.UncountedTerminatedPods == nil {
		st.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	there := map[types.UID]bool{}
	for _, p := range s.pods {
		there[p.UID] = tracked(p)
		switch {
		case podstate.Active(p):
			s.active = append(s.active, p)
			if podstate.Ready(p) {
				s.ready++
			}
		case p.DeletionTimestamp != nil && !podstate.Finished(p):
			s.ending++
		}
	}
	u := st.UncountedTerminatedPods
	s.uncountedSucceeded, u.Succeeded = settle(u.Succeeded, there, &st.Succeeded)
	s.uncountedFailed, u.Failed = settle(u.Failed, there, &st.Failed)
	s.succeeded = st.Succeeded + int32(len(u.Succeeded))
	s.failed = st.Failed + int32(len(u.Failed))
	for _, p := range s.pods {
		if !tracked(p) || !s.valid(p) {
			continue
		}
		if p.Status.Phase == v1.PodSucceeded && !s.uncountedSucceeded[p.UID] {
			s.succeeded++
		}
		if failed(s.job, p) && !s.uncountedFailed[p.UID] && !judge(s.job.Spec.PodFailurePolicy, p).ignored {
			s.failed++
		}
	}
	if st.StartTime == nil && !suspended(s.job) {
		st.StartTime = &metav1.Time{Time: s.now}
	}
	if isIndexed(s.job) {
		s.countIndexes()
	}
}

// settle takes out of a list what has lost its finalizer, and counts it.
func settle(list []types.UID, tracked map[types.UID]bool, counter *int32) (left map[types.UID]bool, kept []types.UID) {
	left = map[types.UID]bool{}
	for _, uid := range list {
		if tracked[uid] {
			left[uid] = true
			kept = append(kept, uid)
		} else {
			*counter++
		}
	}
	return left, kept
}

func (s *state) countIndexes() {
	n := completions(s.job)
	s.counted = parseIndexes(s.p.status.CompletedIndexes, n)
	var fresh, lost []int
	for _, p := range s.pods {
		if !tracked(p) || !s.valid(p) {
			continue
		}
		if p.Status.Phase == v1.PodSucceeded {
			fresh = append(fresh, indexOf(p))
		}
		if perIndex(s.job) && failed(s.job, p) {
			counted, _ := failuresOf(p)
			if v := judge(s.job.Spec.PodFailurePolicy, p); v.failIndex || !v.ignored && counted >= *s.job.Spec.BackoffLimitPerIndex {
				lost = append(lost, indexOf(p))
			}
		}
	}
	s.done = s.counted.with(fresh...)
	s.succeeded = int32(s.done.count())
	if !perIndex(s.job) {
		return
	}
	if f := s.p.status.FailedIndexes; f != nil {
		s.failedIndexes = parseIndexes(*f, n)
	}
	// What has succeeded beside a failure has succeeded.
	s.failedIndexes = s.failedIndexes.with(slices.DeleteFunc(lost, s.done.has)...)
	s.keep()
}

// keep finds the failed pods that are to be replaced.
func (s *state) keep() {
	running := map[int]bool{}
	for _, p := range s.active {
		running[indexOf(p)] = true
	}
	s.waiting = map[int]*v1.Pod{}
	for _, p := range s.pods {
		i := indexOf(p)
		if !tracked(p) || !s.valid(p) || !failed(s.job, p) || running[i] || s.done.has(i) || s.failedIndexes.has(i) {
			continue
		}
		if w := s.waiting[i]; w == nil || total(w) <= total(p) && !ended(p).Before(ended(w)) {
			s.waiting[i] = p
		}
	}
}

// total is how often the index of a pod failed before it.
func total(p *v1.Pod) int32 {
	counted, ignored := failuresOf(p)
	return counted + ignored
}

// judge says whether the job has come to its end.
func (s *state) judge() {
	j, st := s.job, &s.p.status
	if c := condition(st.Conditions, batchv1.JobSuccessCriteriaMet); c != nil && c.Status == v1.ConditionTrue {
		s.complete(c.Reason, c.Message)
		return
	}
	if c := condition(st.Conditions, batchv1.JobFailureTarget); c != nil && c.Status == v1.ConditionTrue {
		s.fail(c.Reason, c.Message)
		return
	}
	for _, p := range s.pods {
		if !failed(j, p) {
			continue
		}
		if why := judge(j.Spec.PodFailurePolicy, p).failJob; why != "" {
			s.fail(batchv1.JobReasonPodFailurePolicy, why)
			return
		}
	}
	if s.failed > limit(j) || restarted(j, s.pods) {
		s.fail(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
		return
	}
	if d := j.Spec.ActiveDeadlineSeconds; d != nil && st.StartTime != nil && !suspended(j) {
		left := st.StartTime.Add(time.Duration(*d) * time.Second).Sub(s.now)
		if left <= 0 {
			s.fail(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
			return
		}
		s.p.wait(left)
	}
	if perIndex(j) {
		if max := j.Spec.MaxFailedIndexes; max != nil && s.failedIndexes.count() > int(*max) {
			s.fail(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
			return
		}
		if n := s.failedIndexes.count(); n > 0 && n+s.done.count() >= completions(j) {
			s.fail(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
			return
		}
	}
	if isIndexed(j) {
		if why, met := enough(j.Spec.SuccessPolicy, s.done, completions(j)); met {
			s.complete(batchv1.JobReasonSuccessPolicy, why)
		}
	}
}

func (s *state) fail(reason, message string) {
	s.end = &batchv1.JobCondition{Type: batchv1.JobFailed, Status: v1.ConditionTrue, Reason: reason, Message: message}
}

func (s *state) complete(reason, message string) {
	s.end = &batchv1.JobCondition{Type: batchv1.JobComplete, Status: v1.ConditionTrue, Reason: reason, Message: message}
}

// stop ends what runs. Where the cache may not know of all pods, the job is not
// said to have ended.
func (s *state) stop() {
	s.p.stop = s.active
	s.p.status.Active, s.ready = 0, 0
	s.ending += int32(len(s.active))
	if !s.settled {
		s.end = nil
	}
}

// manage makes and removes pods, as many as are wanted.
func (s *state) manage() {
	j := s.job
	running := int32(len(s.active))
	s.p.status.Active = running
	if !s.settled || j.DeletionTimestamp != nil {
		return
	}
	if suspended(j) {
		s.remove(s.active)
	} else {
		s.balance(running)
	}
	left := int(s.p.status.Active) + len(s.p.create)
	if left == 0 && (j.Spec.Completions == nil && s.succeeded > 0 || j.Spec.Completions != nil && s.succeeded >= *j.Spec.Completions) {
		s.complete(batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods")
		return
	}
	s.suspend()
}

// balance brings the number of running pods to what is wanted: never more than
// what is still to be completed.
func (s *state) balance(running int32) {
	j := s.job
	want := int32(1)
	if j.Spec.Parallelism != nil {
		want = *j.Spec.Parallelism
	}
	if j.Spec.Completions != nil {
		want = max(0, min(want, *j.Spec.Completions-s.succeeded))
	} else if s.succeeded > 0 {
		want = running // whoever knows that the work is done has said so
	}
	if gone := s.excess(int(max(0, running-want))); len(gone) > 0 {
		s.remove(gone[:min(len(gone), burst)])
		return
	}
	held := int32(0)
	if patient(j) {
		held = s.ending
	}
	n := int(min(want-held-running, burst))
	if n <= 0 {
		return
	}
	if !perIndex(j) {
		failures, last := recent(j, s.pods)
		if wait := delay(failures, last, s.now); wait > 0 {
			s.p.wait(wait)
			return
		}
	}
	if !isIndexed(j) {
		for range n {
			s.p.create = append(s.p.create, unindexed)
		}
		return
	}
	s.p.replaces = s.waiting
	for _, i := range s.pending(n) {
		if w := s.waiting[i]; w != nil {
			if wait := delay(total(w)+1, ended(w), s.now); wait > 0 {
				s.p.wait(wait)
				continue
			}
		}
		s.p.create = append(s.p.create, i)
	}
}

// pending are the lowest indexes that nobody works on.
func (s *state) pending(n int) []int {
	var busy []int
	for _, p := range s.pods {
		if i := indexOf(p); i != unindexed && (podstate.Active(p) || patient(s.job) && p.DeletionTimestamp != nil && !podstate.Finished(p)) {
			busy = append(busy, i)
		}
	}
	return s.done.union(s.failedIndexes).with(busy...).missing(n, completions(s.job))
}

// excess are at least n active pods to be removed, those in an early stage
// first. Of an indexed job also those go that no index, or another pod of the
// same index, has use for.
func (s *state) excess(n int) []*v1.Pod {
	sorted := slices.Clone(s.active)
	slices.SortStableFunc(sorted, early)
	if !isIndexed(s.job) {
		return sorted[:n]
	}
	var gone, left []*v1.Pod
	last := map[int]*v1.Pod{} // of each index, what has come furthest
	for _, p := range sorted {
		last[indexOf(p)] = p
	}
	for _, p := range sorted {
		if s.valid(p) && last[indexOf(p)] == p {
			left = append(left, p)
		} else {
			gone = append(gone, p)
		}
	}
	return append(gone, left[:min(len(left), max(0, n-len(gone)))]...)
}

// early puts first what has come less far: not bound, not running, not ready,
// and then what is younger.
func early(a, b *v1.Pod) int {
	stage := func(p *v1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case p.Status.Phase != v1.PodRunning:
			return 1
		case !podstate.Ready(p):
			return 2
		}
		return 3
	}
	return cmp.Or(cmp.Compare(stage(a), stage(b)), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func (s *state) remove(pods []*v1.Pod) {
	s.p.remove = pods
	s.p.status.Active -= int32(len(pods))
	s.ending += int32(len(pods))
	for _, p := range pods {
		if podstate.Ready(p) {
			s.ready--
		}
	}
}
