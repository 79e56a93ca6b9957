package deployment

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func template(image string) v1.PodTemplateSpec {
	return v1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: image}}},
	}
}

func deployment(replicas int32, surge, unavailable intstr.IntOrString, image string) *appsv1.Deployment {
	limit, deadline := int32(2), int32(600)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d", UID: "d", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Template: template(image), RevisionHistoryLimit: &limit, ProgressDeadlineSeconds: &deadline,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable},
			},
		},
	}
}

// world carries out plans as the shell and the replica set controller do, with
// pods that become available when the test says so.
type world struct {
	d    *appsv1.Deployment
	sets []*appsv1.ReplicaSet
	now  time.Time
}

func (w *world) step() plan {
	p := decide(&view{d: w.d, sets: w.sets, now: w.now})
	fresh := newSet(w.d, w.sets)
	if fresh != nil && p.revision > 0 {
		fresh.Annotations = setAnnotations(w.d, fresh.Annotations, p.revision)
	}
	if p.create {
		size := p.replicas
		t := w.d.Spec.Template
		w.sets = append(w.sets, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("rs-%d", len(w.sets)), UID: types.UID(t.Spec.Containers[0].Image),
				CreationTimestamp: metav1.NewTime(w.now), Annotations: setAnnotations(w.d, nil, p.revision), Generation: 1,
			},
			Spec:   appsv1.ReplicaSetSpec{Replicas: &size, Template: t},
			Status: appsv1.ReplicaSetStatus{ObservedGeneration: 1},
		})
	}
	for _, s := range p.scale {
		size := s.size
		s.set.Spec.Replicas = &size
		sizeAnnotations(w.d, &s.set.Annotations)
	}
	for _, gone := range p.remove {
		for i, rs := range w.sets {
			if rs == gone {
				w.sets = append(w.sets[:i:i], w.sets[i+1:]...)
				break
			}
		}
	}
	w.d.Status = p.status
	w.now = w.now.Add(time.Second)
	return p
}

// settle lets the sets have the pods that they ask for; the healthy become
// available, except for at most ill of the new set's.
func (w *world) settle(ill int32) {
	for _, rs := range w.sets {
		n := sizeOf(rs)
		rs.Status.Replicas, rs.Status.ReadyReplicas = n, n
		if rs == newSet(w.d, w.sets) {
			rs.Status.ReadyReplicas = max(0, n-ill)
		}
		rs.Status.AvailableReplicas = rs.Status.ReadyReplicas
	}
}

// TestRollingUpdate: from any template to any other, never more pods than
// maxSurge allows nor fewer available than maxUnavailable allows, and it ends.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Custom(func(t *rapid.T) intstr.IntOrString {
			if rapid.Bool().Draw(t, "percent") {
				return intstr.FromString(fmt.Sprintf("%d%%", rapid.IntRange(0, 100).Draw(t, "n")))
			}
			return intstr.FromInt32(rapid.Int32Range(0, 5).Draw(t, "n"))
		})
		want := rapid.Int32Range(1, 20).Draw(t, "replicas")
		w := &world{d: deployment(want, amount.Draw(t, "surge"), amount.Draw(t, "unavailable"), "one"), now: start}
		run := func() {
			surge, unavailable := bounds(w.d)
			for i := 0; ; i++ {
				if i > 500 {
					t.Fatalf("no end: %+v", w.d.Status)
				}
				// Pods come up a few at a time, or all.
				w.settle(rapid.Int32Range(0, 2).Draw(t, "ill"))
				before := sum(w.sets, availableOf)
				p := w.step()
				if total := sum(w.sets, sizeOf); total > want+surge {
					t.Fatalf("%d pods are asked for, at most %d may be", total, want+surge)
				}
				// Scaling down ends the unavailable first, but counts on the
				// replica set to do so.
				var left int32
				for _, rs := range w.sets {
					left += min(sizeOf(rs), availableOf(rs))
				}
				if before >= want-unavailable && left < want-unavailable {
					t.Fatalf("%d pods are left available, at least %d must be", left, want-unavailable)
				}
				w.settle(0)
				if len(p.scale) == 0 && !p.create && complete(w.d, w.sets, newSet(w.d, w.sets)) {
					return
				}
			}
		}
		run()
		for i := range rapid.IntRange(1, 4).Draw(t, "updates") {
			w.d.Generation++
			w.d.Spec.Template = template(fmt.Sprintf("image-%d", i))
			run()
			if fresh := newSet(w.d, w.sets); sizeOf(fresh) != want || revisionOf(fresh.Annotations) != int64(i+2) {
				t.Fatalf("the new set has size %d and revision %d", sizeOf(fresh), revisionOf(fresh.Annotations))
			}
		}
		if old := len(w.sets) - 1; old > 2 {
			w.step()
			if old = len(w.sets) - 1; old > 2 {
				t.Fatalf("%d old sets are kept, at most 2 should be", old)
			}
		}
	})
}

func TestRollbackTakesTheOldSetAgain(t *testing.T) {
	t.Parallel()
	w := &world{d: deployment(3, intstr.FromInt32(1), intstr.FromInt32(0), "one"), now: start}
	roll := func(image string) {
		w.d.Spec.Template = template(image)
		for range 50 {
			w.settle(0)
			w.step()
		}
	}
	roll("one")
	roll("two")
	roll("one")
	if len(w.sets) != 2 {
		t.Fatalf("%d sets", len(w.sets))
	}
	fresh := newSet(w.d, w.sets)
	if sizeOf(fresh) != 3 || revisionOf(fresh.Annotations) != 3 || fresh.Annotations[revisionHistoryAnnotation] != "1" {
		t.Errorf("size %d, annotations %v", sizeOf(fresh), fresh.Annotations)
	}
}

func TestRecreateWaitsForOldPods(t *testing.T) {
	t.Parallel()
	w := &world{d: deployment(2, intstr.FromInt32(0), intstr.FromInt32(0), "one"), now: start}
	w.d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	w.step()
	w.settle(0)
	w.d.Spec.Template = template("two")
	if p := w.step(); p.create || len(p.scale) != 1 || p.scale[0].size != 0 {
		t.Fatalf("first the old set goes: %+v", p)
	}
	if p := decide(&view{d: w.d, sets: w.sets, oldPods: true, now: w.now}); p.create {
		t.Error("new pods are made while old ones run")
	}
	if p := decide(&view{d: w.d, sets: w.sets, now: w.now}); !p.create || p.replicas != 2 {
		t.Errorf("new pods are not made when the old ones are gone: %+v", p)
	}
}

func TestProgressDeadline(t *testing.T) {
	t.Parallel()
	w := &world{d: deployment(1, intstr.FromInt32(1), intstr.FromInt32(0), "one"), now: start}
	w.step()
	w.settle(1) // the only pod never becomes available
	p := w.step()
	if p.again <= 0 || p.again > 601*time.Second {
		t.Fatalf("the deadline is looked at in %v", p.again)
	}
	w.now = w.now.Add(11 * time.Minute)
	w.step()
	c := conditionOf(w.d, appsv1.DeploymentProgressing)
	if c == nil || c.Status != v1.ConditionFalse || c.Reason != reasonTimedOut {
		t.Errorf("after the deadline: %+v", c)
	}
	w.settle(0)
	w.step()
	if c := conditionOf(w.d, appsv1.DeploymentProgressing); c.Reason != reasonComplete {
		t.Errorf("after it has come up all the same: %+v", c)
	}
}

func TestProportionalScaling(t *testing.T) {
	t.Parallel()
	w := &world{d: deployment(10, intstr.FromInt32(3), intstr.FromInt32(2), "one"), now: start}
	for range 20 {
		w.step()
		w.settle(0)
	}
	w.d.Spec.Template = template("two")
	w.step() // the new set begins
	w.settle(100)
	w.step()
	thirty := int32(30)
	w.d.Spec.Replicas = &thirty
	before := sum(w.sets, sizeOf)
	w.step()
	if after := sum(w.sets, sizeOf); after != 33 || before >= after {
		t.Errorf("from %d to %d pods, want 30 and a surge of 3", before, after)
	}
	for _, rs := range w.sets {
		if sizeOf(rs) <= 5 {
			t.Errorf("set %s got no share: %d", rs.Name, sizeOf(rs))
		}
	}
}
