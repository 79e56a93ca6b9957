package rest

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/auth"
	"proa/resource"
	"proa/resource/core"
)

// TestDecideDeletion goes through what a deletion finds and what becomes of it.
func TestDecideDeletion(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	at := func(seconds int) *metav1.Time {
		v := metav1.NewTime(now.Add(time.Duration(seconds) * time.Second))
		return &v
	}
	sec := func(n int64) *int64 { return &n }
	policy := func(p metav1.DeletionPropagation) *metav1.DeleteOptions {
		return &metav1.DeleteOptions{PropagationPolicy: &p}
	}
	pod := func(m metav1.ObjectMeta) resource.Object {
		m.Generation = 1
		return &corev1.Pod{ObjectMeta: m, Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: sec(30)}, Status: corev1.PodStatus{Phase: "Running"}}
	}
	cm := func(m metav1.ObjectMeta) resource.Object { return &corev1.ConfigMap{ObjectMeta: m} }
	pods, cms := core.Pod(), core.ConfigMap()
	cases := []struct {
		name string
		d    *resource.Definition
		old  resource.Object
		o    *metav1.DeleteOptions
		want string
	}{
		{"plain", cms, cm(metav1.ObjectMeta{}), &metav1.DeleteOptions{}, "gone"},
		{"finalizer", cms, cm(metav1.ObjectMeta{Finalizers: []string{"a"}}), &metav1.DeleteOptions{}, "marked +0s grace 0 [a]"},
		{"finalizer again", cms, cm(metav1.ObjectMeta{Finalizers: []string{"a"}, DeletionTimestamp: at(-5), DeletionGracePeriodSeconds: sec(0)}), &metav1.DeleteOptions{}, "held"},
		{"foreground", cms, cm(metav1.ObjectMeta{}), policy(metav1.DeletePropagationForeground), "marked +0s grace 0 [foregroundDeletion]"},
		{"orphan", cms, cm(metav1.ObjectMeta{}), policy(metav1.DeletePropagationOrphan), "marked +0s grace 0 [orphan]"},
		{"background", cms, cm(metav1.ObjectMeta{}), policy(metav1.DeletePropagationBackground), "gone"},
		{"background takes orphan off", cms, cm(metav1.ObjectMeta{Finalizers: []string{"orphan"}}), policy(metav1.DeletePropagationBackground), "gone"},
		{"foreground in place of orphan", cms, cm(metav1.ObjectMeta{Finalizers: []string{"orphan", "a"}}), policy(metav1.DeletePropagationForeground), "marked +0s grace 0 [a foregroundDeletion]"},
		{"graceful", pods, pod(metav1.ObjectMeta{}), &metav1.DeleteOptions{}, "marked +30s grace 30 [] generation 2"},
		{"graceful, as asked", pods, pod(metav1.ObjectMeta{}), &metav1.DeleteOptions{GracePeriodSeconds: sec(5)}, "marked +5s grace 5 [] generation 2"},
		{"negative grace is one second", pods, pod(metav1.ObjectMeta{}), &metav1.DeleteOptions{GracePeriodSeconds: sec(-1)}, "marked +1s grace 1 [] generation 2"},
		{"no grace", pods, pod(metav1.ObjectMeta{}), &metav1.DeleteOptions{GracePeriodSeconds: sec(0)}, "gone"},
		{"no grace, finalizer", pods, pod(metav1.ObjectMeta{Finalizers: []string{"a"}}), &metav1.DeleteOptions{GracePeriodSeconds: sec(0)}, "marked +0s grace 0 [a] generation 2"},
		{"longer grace", pods, pod(metav1.ObjectMeta{DeletionTimestamp: at(20), DeletionGracePeriodSeconds: sec(30)}), &metav1.DeleteOptions{GracePeriodSeconds: sec(40)}, "pending"},
		{"again", pods, pod(metav1.ObjectMeta{DeletionTimestamp: at(20), DeletionGracePeriodSeconds: sec(30)}), &metav1.DeleteOptions{}, "pending"},
		{"shorter grace", pods, pod(metav1.ObjectMeta{DeletionTimestamp: at(20), DeletionGracePeriodSeconds: sec(30)}), &metav1.DeleteOptions{GracePeriodSeconds: sec(15)}, "marked +5s grace 15 [] generation 1"},
		{"shorter than what has passed", pods, pod(metav1.ObjectMeta{DeletionTimestamp: at(20), DeletionGracePeriodSeconds: sec(30)}), &metav1.DeleteOptions{GracePeriodSeconds: sec(5)}, "marked +0s grace 1 [] generation 1"},
		{"killed at last", pods, pod(metav1.ObjectMeta{DeletionTimestamp: at(20), DeletionGracePeriodSeconds: sec(30)}), &metav1.DeleteOptions{GracePeriodSeconds: sec(0)}, "gone"},
		{"grace is over, finalizer stays", pods, pod(metav1.ObjectMeta{Finalizers: []string{"a"}, DeletionTimestamp: at(-20), DeletionGracePeriodSeconds: sec(0)}), &metav1.DeleteOptions{}, "held"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := c.old.DeepCopyObject()
			p := decideDeletion(&resource.Request{Now: now, User: &auth.User{}}, c.d, c.old, c.o)
			got := "gone"
			switch {
			case p.pending:
				got = "pending"
			case p.held:
				got = "held"
			case p.update != nil:
				got = fmt.Sprintf("marked %+ds grace %d %v", int(p.update.GetDeletionTimestamp().Sub(now.Time).Seconds()), *p.update.GetDeletionGracePeriodSeconds(), p.update.GetFinalizers())
				if c.d == pods {
					got += fmt.Sprint(" generation ", p.update.GetGeneration())
				}
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if !equality.Semantic.DeepEqual(before, c.old.DeepCopyObject()) {
				t.Error("the stored object was changed")
			}
		})
	}
}

func TestGeneratedNames(t *testing.T) {
	t.Parallel()
	a := (&API{Random: func(int) int { return 0 }}).Complete()
	if got := a.generate("web-"); got != "web-bbbbb" {
		t.Error(got)
	}
	long := make([]byte, 100)
	for i := range long {
		long[i] = 'x'
	}
	if got := a.generate(string(long)); len(got) != 63 {
		t.Errorf("%d characters", len(got))
	}
}

func TestTimesDiffer(t *testing.T) {
	t.Parallel()
	entry := func(fields string, sec int64) metav1.ManagedFieldsEntry {
		when := metav1.Unix(sec, 0)
		return metav1.ManagedFieldsEntry{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: []byte(fields)}, Time: &when}
	}
	list := func(e ...metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry { return e }
	for i, c := range []struct {
		a, b []metav1.ManagedFieldsEntry
		want bool
	}{
		{nil, nil, false},
		{list(entry("x", 1)), list(entry("x", 1)), false},
		{list(entry("x", 1)), list(entry("x", 2)), true},
		{list(entry("x", 1)), list(entry("y", 2)), false},
		{list(entry("x", 1)), list(), false},
	} {
		if got := timesDiffer(c.a, c.b); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
