package job

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var now = time.Unix(1_000_000, 0)

// pod reads "name flags": ready, pending, succeeded, failed, deleted, counted
// (without the finalizer), "i=" an index, "f=" failures of its index before it,
// "exit=" a code, "ago=" seconds since it ended.
func pod(text string) *v1.Pod {
	name, flags, _ := strings.Cut(text, " ")
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: map[string]string{}, Finalizers: []string{batchv1.JobTrackingFinalizer}},
		Spec:       v1.PodSpec{NodeName: "n"}, Status: v1.PodStatus{Phase: v1.PodRunning},
	}
	code, at := int32(0), now.Add(-time.Hour)
	for f := range strings.FieldsSeq(flags) {
		key, value, _ := strings.Cut(f, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "ready":
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
		case "pending":
			p.Status.Phase = v1.PodPending
		case "succeeded":
			p.Status.Phase = v1.PodSucceeded
		case "failed":
			p.Status.Phase, code = v1.PodFailed, 1
		case "deleted":
			p.DeletionTimestamp = &metav1.Time{Time: now.Add(-time.Hour)}
		case "counted":
			p.Finalizers = nil
		case "i":
			p.Annotations[batchv1.JobCompletionIndexAnnotation] = value
		case "f":
			p.Annotations[batchv1.JobIndexFailureCountAnnotation] = value
		case "exit":
			code = int32(n)
		case "ago":
			at = now.Add(-time.Duration(n) * time.Second)
		case "restarts":
			p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", RestartCount: int32(n)}}
		default:
			panic(f)
		}
	}
	if p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed {
		p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", State: v1.ContainerState{
			Terminated: &v1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.NewTime(at)}}}}
	}
	return p
}

type change func(*batchv1.Job)

func jobOf(changes ...change) *batchv1.Job {
	two, three, six := int32(2), int32(3), int32(6)
	mode := batchv1.NonIndexedCompletion
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "ns", UID: "j"},
		Spec:       batchv1.JobSpec{Parallelism: &two, Completions: &three, BackoffLimit: &six, CompletionMode: &mode},
		Status:     batchv1.JobStatus{StartTime: &metav1.Time{Time: now.Add(-time.Minute)}},
	}
	j.Spec.Template.Spec.RestartPolicy = v1.RestartPolicyNever
	for _, f := range changes {
		f(j)
	}
	return j
}

func indexed(j *batchv1.Job) { m := batchv1.IndexedCompletion; j.Spec.CompletionMode = &m }
func queue(j *batchv1.Job)   { j.Spec.Completions = nil }
func suspendedJob(j *batchv1.Job) {
	yes := true
	j.Spec.Suspend = &yes
}
func backoff(n int32) change  { return func(j *batchv1.Job) { j.Spec.BackoffLimit = &n } }
func each(n int32) change     { return func(j *batchv1.Job) { j.Spec.BackoffLimitPerIndex = &n } }
func maxLost(n int32) change  { return func(j *batchv1.Job) { j.Spec.MaxFailedIndexes = &n } }
func deadline(n int64) change { return func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = &n } }
func wide(n int32) change     { return func(j *batchv1.Job) { j.Spec.Parallelism = &n } }
func of(n int32) change       { return func(j *batchv1.Job) { j.Spec.Completions = &n } }
func patience(j *batchv1.Job) { p := batchv1.Failed; j.Spec.PodReplacementPolicy = &p }
func done(n int32) change     { return func(j *batchv1.Job) { j.Status.Succeeded = n } }
func lost(n int32) change     { return func(j *batchv1.Job) { j.Status.Failed = n } }
func doneAt(s string) change  { return func(j *batchv1.Job) { j.Status.CompletedIndexes = s } }
func lostAt(s string) change  { return func(j *batchv1.Job) { j.Status.FailedIndexes = &s } }
func uncounted(succeeded, failed string) change {
	return func(j *batchv1.Job) {
		u := &batchv1.UncountedTerminatedPods{}
		for name := range strings.FieldsSeq(succeeded) {
			u.Succeeded = append(u.Succeeded, types.UID(name))
		}
		for name := range strings.FieldsSeq(failed) {
			u.Failed = append(u.Failed, types.UID(name))
		}
		j.Status.UncountedTerminatedPods = u
	}
}
func has(t batchv1.JobConditionType, reason string) change {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: t, Status: v1.ConditionTrue, Reason: reason})
	}
}
func rule(action batchv1.PodFailurePolicyAction, code int32) change {
	return func(j *batchv1.Job) {
		j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: action,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{code}}}}}
	}
}
func success(indexes string, count int32) change {
	return func(j *batchv1.Job) {
		r := batchv1.SuccessPolicyRule{}
		if indexes != "" {
			r.SucceededIndexes = &indexes
		}
		if count > 0 {
			r.SucceededCount = &count
		}
		j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{r}}
	}
}
func onFailure(j *batchv1.Job) { j.Spec.Template.Spec.RestartPolicy = v1.RestartPolicyOnFailure }

func namesOf(pods []*v1.Pod) (out []string) {
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		job       []change
		pods      []string
		unsettled bool
		// create stop remove release; active ready terminating; succeeded+uncounted
		// failed+uncounted; indexes; conditions; again
		want string
	}{
		"begin":              {nil, nil, false, "[-1 -1] [] [] []; 0 0 0; 0+0 0+0; ; []; 0s"},
		"running":            {nil, []string{"a ready", "b"}, false, "[] [] [] []; 2 1 0; 0+0 0+0; ; []; 0s"},
		"while waiting":      {nil, []string{"a ready"}, true, "[] [] [] []; 1 1 0; 0+0 0+0; ; []; 0s"},
		"one succeeded":      {nil, []string{"a succeeded", "b"}, false, "[-1] [] [] [a]; 1 0 0; 0+1 0+0; ; []; 0s"},
		"noted":              {[]change{uncounted("a", "")}, []string{"a succeeded", "b"}, false, "[-1] [] [] [a]; 1 0 0; 0+1 0+0; ; []; 0s"},
		"counted":            {[]change{uncounted("a", "")}, []string{"a succeeded counted", "b"}, false, "[-1] [] [] []; 1 0 0; 1+0 0+0; ; []; 0s"},
		"counted and gone":   {[]change{uncounted("a", "x")}, []string{"b"}, false, "[-1] [] [] []; 1 0 0; 1+0 1+0; ; []; 0s"},
		"the last ones":      {[]change{done(2)}, []string{"b"}, false, "[] [] [] []; 1 0 0; 2+0 0+0; ; []; 0s"},
		"enough":             {[]change{done(2)}, []string{"b succeeded"}, false, "[] [] [] [b]; 0 0 0; 2+1 0+0; ; [SuccessCriteriaMet:CompletionsReached]; 0s"},
		"complete":           {[]change{done(2), uncounted("b", ""), has(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached)}, []string{"b succeeded counted"}, false, "[] [] [] []; 0 0 0; 3+0 0+0; ; [SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached]; 0s"},
		"one is still going": {[]change{done(3), has(batchv1.JobSuccessCriteriaMet, "r")}, []string{"b deleted counted"}, false, "[] [] [] []; 0 0 1; 3+0 0+0; ; [SuccessCriteriaMet:r]; 0s"},
		"nothing to do":      {[]change{of(0)}, nil, false, "[] [] [] []; 0 0 0; 0+0 0+0; ; [SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached]; 0s"},
		"too many":           {[]change{wide(1)}, []string{"a ready", "b pending"}, false, "[] [] [b] []; 1 1 1; 0+0 0+0; ; []; 0s"},
		"a queue":            {[]change{queue}, []string{"a ready"}, false, "[-1] [] [] []; 1 1 0; 0+0 0+0; ; []; 0s"},
		"a queue is empty":   {[]change{queue}, []string{"a ready", "b succeeded"}, false, "[] [] [] [b]; 1 1 0; 0+1 0+0; ; []; 0s"},
		"a queue is done":    {[]change{queue, done(1)}, nil, false, "[] [] [] []; 0 0 0; 1+0 0+0; ; [SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached]; 0s"},
		"deleted itself":     {nil, []string{"a deleted", "b"}, false, "[-1] [] [] [a]; 1 0 1; 0+0 0+1; ; []; 0s"},
		"deleted, patiently": {[]change{patience}, []string{"a deleted", "b"}, false, "[] [] [] []; 1 0 1; 0+0 0+0; ; []; 0s"},
		"going away":         {[]change{func(j *batchv1.Job) { j.DeletionTimestamp = &metav1.Time{Time: now} }}, []string{"a", "b succeeded"}, false, "[] [] [] [a b]; 1 0 0; 0+1 0+0; ; []; 0s"},

		"one failed long ago":   {nil, []string{"a failed", "b"}, false, "[-1] [] [] [a]; 1 0 0; 0+0 0+1; ; []; 0s"},
		"one failed just now":   {nil, []string{"a failed ago=4", "b"}, false, "[] [] [] [a]; 1 0 0; 0+0 0+1; ; []; 6s"},
		"the third just now":    {[]change{lost(2)}, []string{"a failed counted ago=90", "b failed counted ago=50", "c failed ago=4"}, false, "[] [] [] [c]; 0 0 0; 0+0 2+1; ; []; 36s"},
		"a success in between":  {[]change{lost(1)}, []string{"a failed counted ago=9", "b succeeded counted ago=5", "c failed ago=4"}, false, "[] [] [] [c]; 0 0 0; 0+0 1+1; ; []; 6s"},
		"one too many":          {[]change{backoff(1), lost(1)}, []string{"a failed", "b ready"}, false, "[] [b] [] [a b]; 0 0 1; 0+0 1+2; ; [FailureTarget:BackoffLimitExceeded]; 0s"},
		"one too many, waiting": {[]change{backoff(0)}, []string{"a failed", "b ready"}, true, "[] [b] [] [a]; 0 0 1; 0+0 0+1; ; []; 0s"},
		"it has failed":         {[]change{lost(2), has(batchv1.JobFailureTarget, "r")}, []string{"a failed counted"}, false, "[] [] [] []; 0 0 0; 0+0 2+0; ; [FailureTarget:r Failed:r]; 0s"},
		"restarted in place":    {[]change{onFailure, backoff(2)}, []string{"a restarts=1", "b restarts=1"}, false, "[] [a b] [] [a b]; 0 0 2; 0+0 0+2; ; [FailureTarget:BackoffLimitExceeded]; 0s"},
		"restarted, in bounds":  {[]change{onFailure, backoff(3)}, []string{"a restarts=1", "b restarts=1"}, false, "[] [] [] []; 2 0 0; 0+0 0+0; ; []; 0s"},
		"before the deadline":   {[]change{deadline(90)}, []string{"a", "b"}, false, "[] [] [] []; 2 0 0; 0+0 0+0; ; []; 30s"},
		"past the deadline":     {[]change{deadline(60)}, []string{"a"}, false, "[] [a] [] [a]; 0 0 1; 0+0 0+1; ; [FailureTarget:DeadlineExceeded]; 0s"},

		"suspended":       {[]change{suspendedJob}, []string{"a ready", "b"}, false, "[] [] [a b] []; 0 0 2; 0+0 0+0; ; [Suspended:JobSuspended]; 0s"},
		"still suspended": {[]change{suspendedJob, deadline(1), has(batchv1.JobSuspended, "JobSuspended")}, nil, false, "[] [] [] []; 0 0 0; 0+0 0+0; ; [Suspended:JobSuspended]; 0s"},
		"resumed":         {[]change{has(batchv1.JobSuspended, "JobSuspended")}, nil, false, "[-1 -1] [] [] []; 0 0 0; 0+0 0+0; ; [Suspended:JobResumed!]; 0s"},

		"failure of no account":  {[]change{rule(batchv1.PodFailurePolicyActionIgnore, 7)}, []string{"a failed exit=7", "b"}, false, "[-1] [] [] [a]; 1 0 0; 0+0 0+0; ; []; 0s"},
		"failure of another one": {[]change{rule(batchv1.PodFailurePolicyActionIgnore, 7)}, []string{"a failed exit=8", "b"}, false, "[-1] [] [] [a]; 1 0 0; 0+0 0+1; ; []; 0s"},
		"failure of the job":     {[]change{rule(batchv1.PodFailurePolicyActionFailJob, 7)}, []string{"a failed exit=7", "b"}, false, "[] [b] [] [a b]; 0 0 1; 0+0 0+2; ; [FailureTarget:PodFailurePolicy]; 0s"},

		"indexes":                {[]change{indexed}, nil, false, "[0 1] [] [] []; 0 0 0; 0+0 0+0; ; []; 0s"},
		"the next index":         {[]change{indexed}, []string{"a i=0 succeeded", "b i=1"}, false, "[2] [] [] [a]; 1 0 0; 1+0 0+0; 0; []; 0s"},
		"an index again":         {[]change{indexed, doneAt("0,1")}, []string{"a i=2 failed"}, false, "[2] [] [] [a]; 0 0 0; 2+0 0+1; 0,1; []; 0s"},
		"an index twice":         {[]change{indexed}, []string{"a i=0 ready", "b i=0 pending", "c i=1", "d i=9", "e"}, false, "[] [] [b d e] []; 2 1 3; 0+0 0+0; ; []; 0s"},
		"all indexes":            {[]change{indexed, doneAt("0-2")}, nil, false, "[] [] [] []; 0 0 0; 3+0 0+0; 0-2; [SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached]; 0s"},
		"leaders have succeeded": {[]change{indexed, wide(3), success("0", 0)}, []string{"a i=0 succeeded", "b i=1", "c i=2"}, false, "[] [b c] [] [a b c]; 0 0 2; 1+0 0+0; 0; [SuccessCriteriaMet:SuccessPolicy]; 0s"},
		"enough of them":         {[]change{indexed, success("", 2), doneAt("2")}, []string{"a i=0"}, false, "[1] [] [] []; 1 0 0; 1+0 0+0; 2; []; 0s"},

		"each index twice":     {[]change{indexed, each(1)}, []string{"a i=0 failed f=0", "b i=1"}, false, "[0] [] [] []; 1 0 0; 0+0 0+0; ; []; 0s"},
		"each, wait":           {[]change{indexed, each(1)}, []string{"a i=0 failed f=0 ago=2", "b i=1"}, false, "[] [] [] []; 1 0 0; 0+0 0+0; ; []; 8s"},
		"each, replaced":       {[]change{indexed, each(1)}, []string{"a i=0 failed f=0", "n i=0", "b i=1"}, false, "[] [] [] [a]; 2 0 0; 0+0 0+1; ; []; 0s"},
		"an index is lost":     {[]change{indexed, each(1)}, []string{"a i=0 failed f=1", "b i=1"}, false, "[2] [] [] [a]; 1 0 0; 0+0 0+1; /0; []; 0s"},
		"lost by policy":       {[]change{indexed, each(5), rule(batchv1.PodFailurePolicyActionFailIndex, 7)}, []string{"a i=0 failed f=0 exit=7", "b i=1"}, false, "[2] [] [] [a]; 1 0 0; 0+0 0+1; /0; []; 0s"},
		"some are lost":        {[]change{indexed, each(1), doneAt("1,2"), lostAt("0")}, nil, false, "[] [] [] []; 0 0 0; 2+0 0+0; 1,2/0; [FailureTarget:FailedIndexes Failed:FailedIndexes]; 0s"},
		"too many are lost":    {[]change{indexed, each(0), maxLost(0)}, []string{"a i=0 failed f=0", "b i=1"}, false, "[] [b] [] [a b]; 0 0 1; 0+0 0+2; /0; [FailureTarget:MaxFailedIndexesExceeded]; 0s"},
		"succeeded and failed": {[]change{indexed, each(0)}, []string{"a i=0 failed f=0", "b i=0 succeeded", "c i=1"}, false, "[2] [] [] [a b]; 1 0 0; 1+0 0+1; 0; []; 0s"},
	} {
		v := view{job: jobOf(c.job...), now: now, settled: !c.unsettled}
		for _, text := range c.pods {
			v.pods = append(v.pods, pod(text))
		}
		p := decide(v)
		s := p.status
		var conditions []string
		for _, k := range s.Conditions {
			mark := ""
			if k.Status != v1.ConditionTrue {
				mark = "!"
			}
			conditions = append(conditions, fmt.Sprintf("%s:%s%s", k.Type, k.Reason, mark))
		}
		list := s.CompletedIndexes
		if s.FailedIndexes != nil && *s.FailedIndexes != "" {
			list += "/" + *s.FailedIndexes
		}
		got := fmt.Sprintf("%v %v %v %v; %d %d %d; %d+%d %d+%d; %s; %v; %v", p.create, namesOf(p.stop), namesOf(p.remove), namesOf(p.release),
			s.Active, *s.Ready, *s.Terminating, s.Succeeded, len(s.UncountedTerminatedPods.Succeeded), s.Failed, len(s.UncountedTerminatedPods.Failed), list, conditions, p.again)
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// TestBoundOfUncounted: a status never lists more than so many uids.
func TestBoundOfUncounted(t *testing.T) {
	t.Parallel()
	v := view{job: jobOf(of(5000), wide(2000)), now: now, settled: true}
	for i := range 2000 {
		v.pods = append(v.pods, pod(fmt.Sprintf("p%d succeeded", i)))
	}
	p := decide(v)
	if n := len(p.status.UncountedTerminatedPods.Succeeded); n != maxUncounted || len(p.release) != maxUncounted || len(p.create) != burst {
		t.Errorf("%d uids, %d released, %d created", n, len(p.release), len(p.create))
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	j := jobOf(indexed, each(3))
	j.Name = strings.Repeat("n", 63)
	p := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c"}, {Name: "d", Env: []v1.EnvVar{{Name: indexVariable, Value: "own"}}}}}}
	complete(j, p, 12, pod("a failed f=1"))
	if p.Annotations[batchv1.JobCompletionIndexAnnotation] != "12" || p.Labels[batchv1.JobCompletionIndexAnnotation] != "12" ||
		p.Annotations[batchv1.JobIndexFailureCountAnnotation] != "2" || !tracked(p) || len(p.GenerateName) != longestBase || !strings.HasSuffix(p.GenerateName, "n-12-") {
		t.Errorf("%+v", p.ObjectMeta)
	}
	if e := p.Spec.Containers[0].Env; len(e) != 1 || e[0].ValueFrom.FieldRef.FieldPath != "metadata.labels['batch.kubernetes.io/job-completion-index']" {
		t.Errorf("%+v", e)
	}
	if e := p.Spec.Containers[1].Env; len(e) != 1 || e[0].Value != "own" {
		t.Errorf("%+v", e)
	}
}
