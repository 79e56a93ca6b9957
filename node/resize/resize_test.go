package resize_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"proa/node/resize"
)

// resources reads "cpu=100m,memory=1Gi/cpu=200m": requests and limits.
func resources(text string) v1.ResourceRequirements {
	requests, limits, _ := strings.Cut(text, "/")
	return v1.ResourceRequirements{Requests: list(requests), Limits: list(limits)}
}

func list(text string) v1.ResourceList {
	var out v1.ResourceList
	for part := range strings.SplitSeq(text, ",") {
		if name, value, ok := strings.Cut(part, "="); ok {
			if out == nil {
				out = v1.ResourceList{}
			}
			out[v1.ResourceName(name)] = resource.MustParse(value)
		}
	}
	return out
}

// newPod has a container for each text, named a, b, c…
func newPod(texts ...string) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "u", Generation: 1}}
	for i, text := range texts {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: string(rune('a' + i)), Resources: resources(text)})
	}
	return p
}

func whole(p *v1.Pod, text string) *v1.Pod {
	r := resources(text)
	p.Spec.Resources = &r
	return p
}

func shown(r v1.ResourceRequirements) string {
	one := func(l v1.ResourceList) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(l)) {
			q := l[name]
			parts = append(parts, string(name)+"="+q.String())
		}
		return strings.Join(parts, ",")
	}
	return one(r.Requests) + "/" + one(r.Limits)
}

func TestApply(t *testing.T) {
	t.Parallel()
	p := newPod("cpu=100m/", "memory=1Gi/memory=2Gi")
	if got := resize.Of(p).Apply(p); got != p {
		t.Error("a pod that has what it was granted is copied")
	}
	// Equal amounts are no change, however they are written.
	if got := resize.Of(newPod("cpu=0.1/", "memory=1024Mi/memory=2048Mi")).Apply(p); got != p {
		t.Error("a pod is copied for another spelling")
	}
	q := newPod("cpu=200m/cpu=1", "memory=1Gi/memory=2Gi")
	got := resize.Of(p).Apply(q)
	if shown(got.Spec.Containers[0].Resources) != "cpu=100m/" || shown(q.Spec.Containers[0].Resources) != "cpu=200m/cpu=1" {
		t.Errorf("granted: %s, wanted: %s", shown(got.Spec.Containers[0].Resources), shown(q.Spec.Containers[0].Resources))
	}
	if !resize.Same(got, p) || resize.Same(got, q) {
		t.Error("the pod is not as it was granted")
	}
	if w := whole(newPod(""), "cpu=1/"); resize.Of(newPod("")).Apply(w).Spec.Resources != nil {
		t.Error("the pod as a whole has what it was not granted")
	}
}

func TestFromStatus(t *testing.T) {
	t.Parallel()
	status := func(p *v1.Pod, observed int64, allocated, actual string) *v1.Pod {
		p.Generation = 2
		p.Status.ObservedGeneration = observed
		r := resources(actual)
		p.Status.ContainerStatuses = []v1.ContainerStatus{{
			Name: "a", AllocatedResources: list(allocated), Resources: &r, State: v1.ContainerState{Running: &v1.ContainerStateRunning{}},
		}}
		return p
	}
	pending := status(newPod("cpu=4/"), 2, "cpu=1", "cpu=1/")
	pending.Status.Conditions = []v1.PodCondition{{Type: v1.PodResizePending}}
	ended := status(newPod("cpu=4/"), 1, "cpu=1", "cpu=1/")
	ended.Status.ContainerStatuses[0].State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{}}
	for name, tt := range map[string]struct {
		pod            *v1.Pod
		granted, given string
	}{
		"no status":                     {newPod("cpu=1/cpu=2"), "cpu=1/cpu=2", "cpu=1/cpu=2"},
		"rounded by the runtime":        {status(newPod("cpu=1m/cpu=3m"), 2, "cpu=1m", "cpu=2m/cpu=10m"), "cpu=1m/cpu=3m", "cpu=1m/cpu=3m"},
		"changed while nobody looked":   {status(newPod("cpu=4/cpu=4,memory=1Gi"), 1, "cpu=1", "cpu=1/cpu=2,memory=1Gi"), "cpu=1/cpu=2,memory=1Gi", "cpu=1/cpu=2,memory=1Gi"},
		"under way":                     {status(newPod("cpu=4/"), 1, "cpu=4", "cpu=1/"), "cpu=4/", "cpu=1/"},
		"a limit added":                 {status(newPod("cpu=4/cpu=5"), 1, "cpu=4", "cpu=4/"), "cpu=4/", "cpu=4/"},
		"put off":                       {pending, "cpu=1/", "cpu=1/"},
		"of a container that has ended": {ended, "cpu=4/", "cpu=4/"},
	} {
		granted, given := resize.FromStatus(tt.pod)
		if got := shown(granted.Containers["a"]); got != tt.granted {
			t.Errorf("%s: granted %s, want %s", name, got, tt.granted)
		}
		if got := shown(given.Containers["a"]); got != tt.given {
			t.Errorf("%s: given %s, want %s", name, got, tt.given)
		}
	}
}

func TestDiffersAndRestarts(t *testing.T) {
	t.Parallel()
	policy := func(p *v1.Pod, cpu, memory v1.ResourceResizeRestartPolicy) *v1.Pod {
		p.Spec.Containers[0].ResizePolicy = []v1.ContainerResizePolicy{
			{ResourceName: v1.ResourceCPU, RestartPolicy: cpu}, {ResourceName: v1.ResourceMemory, RestartPolicy: memory},
		}
		return p
	}
	for name, tt := range map[string]struct {
		given, granted    *v1.Pod
		differs, restarts bool
	}{
		"nothing":                  {newPod("cpu=1/"), newPod("cpu=1000m/"), false, false},
		"cpu":                      {newPod("cpu=1/"), newPod("cpu=2/"), true, false},
		"a limit":                  {newPod("memory=1Gi/"), newPod("memory=1Gi/memory=1Gi"), true, false},
		"what cannot be resized":   {newPod("ephemeral-storage=1Gi/"), newPod("ephemeral-storage=2Gi/"), false, false},
		"cpu, which restarts":      {newPod("cpu=1/"), policy(newPod("cpu=2/"), v1.RestartContainer, v1.NotRequired), true, true},
		"a limit of cpu, likewise": {newPod("cpu=1/"), policy(newPod("cpu=1/cpu=2"), v1.RestartContainer, v1.NotRequired), true, true},
		"memory, which does not":   {newPod("memory=1Gi/"), policy(newPod("memory=2Gi/"), v1.RestartContainer, v1.NotRequired), true, false},
		"the pod's limit":          {whole(newPod("cpu=1/"), "/cpu=2"), whole(newPod("cpu=1/"), "/cpu=3"), true, false},
		"the pod's limit, above its own": {
			whole(newPod("cpu=1/cpu=1"), "/cpu=2"), whole(newPod("cpu=1/cpu=1"), "/cpu=3"), false, false,
		},
	} {
		given := resize.Of(tt.given)
		if got := given.Differs(tt.granted, "a"); got != tt.differs {
			t.Errorf("%s: differs %v, want %v", name, got, tt.differs)
		}
		if got := given.Restarts(tt.granted, &tt.granted.Spec.Containers[0]); got != tt.restarts {
			t.Errorf("%s: restarts %v, want %v", name, got, tt.restarts)
		}
	}
	if (resize.Granted{}).Differs(newPod("cpu=1/"), "a") {
		t.Error("a container of which nothing is known is to be changed")
	}
}

func TestCeiling(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		granted, given, want *v1.Pod
	}{
		"more":           {newPod("cpu=2/cpu=2"), newPod("cpu=1/cpu=1"), newPod("cpu=2/cpu=2")},
		"less":           {newPod("cpu=1/cpu=1"), newPod("cpu=2/cpu=2"), newPod("cpu=2/cpu=2")},
		"each its own":   {newPod("cpu=1/memory=2Gi", "cpu=2/"), newPod("cpu=2/memory=1Gi", "cpu=1/"), newPod("cpu=2/memory=2Gi", "cpu=2/")},
		"a limit added":  {newPod("cpu=1/memory=1Gi"), newPod("cpu=1/"), newPod("cpu=1/")},
		"a request":      {newPod("cpu=1/"), newPod("/"), newPod("cpu=1/")},
		"the pod's":      {whole(newPod("/"), "cpu=1/cpu=1"), whole(newPod("/"), "cpu=1/cpu=3"), whole(newPod("/"), "cpu=1/cpu=3")},
		"nothing at all": {newPod("cpu=1/"), newPod("cpu=1/"), newPod("cpu=1/")},
	} {
		got := resize.Ceiling(tt.granted, resize.Of(tt.given))
		for i := range got.Spec.Containers {
			if got, want := shown(got.Spec.Containers[i].Resources), shown(tt.want.Spec.Containers[i].Resources); got != want {
				t.Errorf("%s: container %d has %s, want %s", name, i, got, want)
			}
		}
		if !equality.Semantic.DeepEqual(got.Spec.Resources, tt.want.Spec.Resources) {
			t.Errorf("%s: the pod has %v, want %v", name, got.Spec.Resources, tt.want.Spec.Resources)
		}
	}
}

// Whatever changes into whatever: there is room for both, and no more than that;
// neither is changed.
func TestCeilingProperty(t *testing.T) {
	t.Parallel()
	amount := rapid.Custom(func(t *rapid.T) v1.ResourceList {
		l := v1.ResourceList{}
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			if n := rapid.Int64Range(0, 3).Draw(t, "amount"); n > 0 {
				l[name] = *resource.NewQuantity(n, resource.DecimalSI)
			}
		}
		return l
	})
	pod := rapid.Custom(func(t *rapid.T) *v1.Pod {
		p := newPod("", "")
		for i := range p.Spec.Containers {
			p.Spec.Containers[i].Resources = v1.ResourceRequirements{Requests: amount.Draw(t, "requests"), Limits: amount.Draw(t, "limits")}
		}
		return p
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := pod.Draw(t, "granted"), pod.Draw(t, "given")
		beforeA, beforeB := a.DeepCopy(), b.DeepCopy()
		top := resize.Ceiling(a, resize.Of(b))
		if !equality.Semantic.DeepEqual(a, beforeA) || !equality.Semantic.DeepEqual(b, beforeB) {
			t.Fatal("an argument was changed")
		}
		for i := range top.Spec.Containers {
			r, x, y := top.Spec.Containers[i].Resources, a.Spec.Containers[i].Resources, b.Spec.Containers[i].Resources
			for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
				if got, want := amountOf(r.Requests, name), max(amountOf(x.Requests, name), amountOf(y.Requests, name)); got != want {
					t.Fatalf("%s of container %d: request %d, want %d", name, i, got, want)
				}
				want := max(amountOf(x.Limits, name), amountOf(y.Limits, name))
				if amountOf(x.Limits, name) == 0 || amountOf(y.Limits, name) == 0 {
					want = 0 // one of them has none
				}
				if got := amountOf(r.Limits, name); got != want {
					t.Fatalf("%s of container %d: limit %d, want %d", name, i, got, want)
				}
			}
		}
	})
}

func amountOf(l v1.ResourceList, name v1.ResourceName) int64 {
	q := l[name]
	return q.Value()
}

func TestTooSmall(t *testing.T) {
	t.Parallel()
	const mi = 1 << 20
	for name, tt := range map[string]struct {
		before, granted *v1.Pod
		usage           resize.Usage
		want            string // parts, between bars
	}{
		"more":         {newPod("/memory=10Mi"), newPod("/memory=20Mi"), resize.Usage{Pod: 15 * mi, Containers: map[string]uint64{"a": 15 * mi}}, ""},
		"fits":         {newPod("/memory=20Mi"), newPod("/memory=10Mi"), resize.Usage{Pod: 5 * mi, Containers: map[string]uint64{"a": 5 * mi}}, ""},
		"too small":    {newPod("/memory=20Mi"), newPod("/memory=10Mi"), resize.Usage{Pod: 5 * mi, Containers: map[string]uint64{"a": 10 * mi}}, `container "a" memory limit (10485760) below current usage (10485760)`},
		"the pod":      {newPod("/memory=20Mi"), newPod("/memory=10Mi"), resize.Usage{Pod: 11 * mi, Containers: map[string]uint64{"a": mi}}, `pod memory limit (10485760) below current usage (11534336)`},
		"both":         {newPod("/memory=20Mi"), newPod("/memory=10Mi"), resize.Usage{Pod: 11 * mi, Containers: map[string]uint64{"a": 11 * mi}}, "cannot decrease memory limits|pod memory|container"},
		"a limit more": {newPod("/", "/"), newPod("/memory=10Mi", "/"), resize.Usage{Pod: 90 * mi, Containers: map[string]uint64{"a": 80 * mi}}, `container "a"`},
		// Only one container has a limit: the pod has none.
		"no limit of the pod": {newPod("/", "/"), newPod("/memory=10Mi", "/"), resize.Usage{Pod: 90 * mi, Containers: map[string]uint64{"a": mi}}, ""},
		"not its own": {newPod("/memory=9Mi", "/memory=9Mi"), newPod("/memory=9Mi", "/memory=8Mi"),
			resize.Usage{Pod: mi, Containers: map[string]uint64{"a": 90 * mi, "b": mi}}, ""},
	} {
		lowered, whole := resize.Of(tt.before).Lowered(tt.before, tt.granted, []string{"a", "b"})
		err := resize.TooSmall(tt.granted, lowered, whole, tt.usage)
		if (err != nil) != (tt.want != "") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
			continue
		}
		for part := range strings.SplitSeq(tt.want, "|") {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q in it", name, err, part)
			}
		}
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	records := resize.Records{Root: t.TempDir()}
	if rec, err := records.Read("u"); rec != nil || err != nil {
		t.Errorf("a record of nobody: %v, %v", rec, err)
	}
	want := resize.Record{Granted: resize.Of(newPod("cpu=2/memory=1Gi")), Given: resize.Of(whole(newPod("cpu=1/"), "cpu=1/"))}
	for range 2 {
		if err := records.Write("u", want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := records.Read("u"); err != nil || !equality.Semantic.DeepEqual(got, &want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	if err := os.WriteFile(filepath.Join(records.Root, "pods", "u", "resources"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if rec, err := records.Read("u"); rec != nil || err == nil {
		t.Errorf("a broken record was read: %+v", rec)
	}
}
