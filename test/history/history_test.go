package history

import (
	"context"
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// failures counts what is reported.
type failures []string

func (f *failures) failf(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func TestLedgerCheck(t *testing.T) {
	t.Parallel()
	read := func(client int, call, end int64, value string) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: entry{page: "p"}, Call: call, Output: outcome{known: true, value: value}, Return: end}
	}
	write := func(client int, call, end int64, old, value string, o outcome) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: entry{page: "p", write: true, old: old, value: value}, Call: call, Output: o, Return: end}
	}
	made, refused, untold := outcome{known: true, done: true}, outcome{known: true}, outcome{}
	for name, tt := range map[string]struct {
		history []porcupine.Operation
		good    bool
	}{
		"in order":                     {[]porcupine.Operation{write(0, 1, 2, "", "a", made), read(1, 3, 4, "a")}, true},
		"a stale read":                 {[]porcupine.Operation{write(0, 1, 2, "", "a", made), read(1, 3, 4, "")}, false},
		"a read back in time":          {[]porcupine.Operation{write(0, 1, 9, "", "a", made), read(1, 2, 3, "a"), read(1, 4, 5, "")}, false},
		"two of the same":              {[]porcupine.Operation{write(0, 1, 2, "", "a", made), write(1, 3, 4, "", "b", made)}, false},
		"a conflict without a cause":   {[]porcupine.Operation{write(0, 1, 2, "", "a", refused)}, false},
		"untold and made":              {[]porcupine.Operation{write(0, 1, 1<<62, "", "a", untold), read(1, 3, 4, "a")}, true},
		"untold and made later":        {[]porcupine.Operation{write(0, 1, 1<<62, "", "a", untold), read(1, 3, 4, ""), read(1, 5, 6, "a")}, true},
		"untold, made and then undone": {[]porcupine.Operation{write(0, 1, 1<<62, "", "a", untold), read(1, 3, 4, "a"), read(1, 5, 6, "")}, false},
	} {
		var f failures
		l := &Ledger{Failf: f.failf, history: tt.history}
		l.Check()
		if (len(f) == 0) != tt.good {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// told runs a watcher over one list at revision 10 and these events.
func told(t *testing.T, failf func(string, ...any), events ...watch.Event) *Watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &Watcher{
		Resource: "configmaps", Failf: failf,
		List: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &v1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "10"}}, nil
		},
		Watch: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			stream := watch.NewFakeWithChanSize(len(events), false)
			for _, e := range events {
				stream.Action(e.Type, e.Object)
			}
			return stream, nil
		},
	}
	seen := 0
	w.Told = func(watch.Event) {
		if seen++; seen == len(events) {
			cancel()
		}
	}
	w.Run(ctx)
	return w
}

func event(kind watch.EventType, name string, rev int) watch.Event {
	return watch.Event{Type: kind, Object: &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: fmt.Sprint(rev)}}}
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		events       []watch.Event
		acknowledged []Change
		good         bool
	}{
		"in order":        {[]watch.Event{event(watch.Added, "a", 11), event(watch.Deleted, "a", 13)}, []Change{{Rev: 11, Name: "a"}, {Rev: 9, Name: "z"}, {Rev: 99, Name: "z"}}, true},
		"out of order":    {[]watch.Event{event(watch.Added, "a", 12), event(watch.Added, "b", 11)}, nil, false},
		"twice":           {[]watch.Event{event(watch.Added, "a", 11), event(watch.Modified, "a", 11)}, nil, false},
		"before the list": {[]watch.Event{event(watch.Added, "a", 10)}, nil, false},
		"with a gap":      {[]watch.Event{event(watch.Added, "a", 11), event(watch.Added, "c", 13)}, []Change{{Rev: 12, Name: "b"}}, false},
	} {
		var f failures
		told(t, f.failf, tt.events...).Tells(tt.acknowledged)
		if (len(f) == 0) != tt.good {
			t.Errorf("%s: %v", name, f)
		}
	}
}

func TestAgree(t *testing.T) {
	t.Parallel()
	a, b, c := event(watch.Added, "a", 11), event(watch.Added, "b", 12), event(watch.Added, "c", 13)
	for name, tt := range map[string]struct {
		x, y []watch.Event
		good bool
	}{
		"the same":        {[]watch.Event{a, b, c}, []watch.Event{a, b, c}, true},
		"one is behind":   {[]watch.Event{a, b, c}, []watch.Event{a, b}, true},
		"one has a gap":   {[]watch.Event{a, b, c}, []watch.Event{a, c}, false},
		"two that differ": {[]watch.Event{a, c}, []watch.Event{b, c}, false},
	} {
		var f failures
		Agree(told(t, f.failf, tt.x...), told(t, f.failf, tt.y...))
		if (len(f) == 0) != tt.good {
			t.Errorf("%s: %v", name, f)
		}
	}
}

func TestCrowded(t *testing.T) {
	t.Parallel()
	n := &v1.Node{Status: v1.NodeStatus{Allocatable: v1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi"), "pods": resource.MustParse("3")}}}
	pod := func(cpu string, phase v1.PodPhase) *v1.Pod {
		return &v1.Pod{Status: v1.PodStatus{Phase: phase}, Spec: v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{"cpu": resource.MustParse(cpu)}}}}}}
	}
	for name, tt := range map[string]struct {
		pods []*v1.Pod
		good bool
	}{
		"full":        {[]*v1.Pod{pod("500m", v1.PodRunning), pod("500m", v1.PodPending)}, true},
		"more":        {[]*v1.Pod{pod("500m", v1.PodRunning), pod("501m", v1.PodPending)}, false},
		"some ended":  {[]*v1.Pod{pod("500m", v1.PodFailed), pod("500m", v1.PodSucceeded), pod("1", v1.PodRunning)}, true},
		"many little": {[]*v1.Pod{pod("1m", v1.PodRunning), pod("1m", v1.PodRunning), pod("1m", v1.PodRunning), pod("1m", v1.PodRunning)}, false},
	} {
		if why := Crowded(n, tt.pods); (why == "") != tt.good {
			t.Errorf("%s: %q", name, why)
		}
	}
}
