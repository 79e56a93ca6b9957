package garbage_test

import (
	"context"
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/garbage"
)

// world is a server with a collector, in which ConfigMaps own one another.
type world struct {
	*testing.T
	env *apitest.Env
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("n", "other"))
	controllertest.Run(t, env, clock.RealClock{}, garbage.Definition())
	return &world{t, env}
}

func (w *world) make(namespace, name string, owners ...metav1.OwnerReference) *v1.ConfigMap {
	w.Helper()
	cm, err := w.env.Admin.CoreV1().ConfigMaps(namespace).Create(w.Context(),
		&v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owners}}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return cm
}

// by is a reference to an owner that waits for the dependent.
func by(cm *v1.ConfigMap) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: cm.Name, UID: cm.UID, BlockOwnerDeletion: ptr.To(true)}
}

func (w *world) remove(cm *v1.ConfigMap, how metav1.DeletionPropagation) {
	w.Helper()
	if err := w.env.Admin.CoreV1().ConfigMaps(cm.Namespace).Delete(w.Context(), cm.Name, metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(cm *v1.ConfigMap) (*v1.ConfigMap, bool) {
	w.Helper()
	now, err := w.env.Admin.CoreV1().ConfigMaps(cm.Namespace).Get(context.WithoutCancel(w.Context()), cm.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false
	}
	if err != nil {
		w.Fatal(err)
	}
	return now, true
}

func (w *world) gone(list ...*v1.ConfigMap) {
	w.Helper()
	controllertest.Until(w, func() string {
		for _, cm := range list {
			if now, ok := w.get(cm); ok {
				return fmt.Sprintf("%s is there: %+v", cm.Name, now.ObjectMeta)
			}
		}
		return ""
	})
}

// passed waits until the collector has dealt with all that came before, as it
// shows on an object that must go. Events of one resource come in order, and
// what they add to the queue is taken in order.
func (w *world) passed() {
	w.Helper()
	for i := range 3 {
		probe := w.make("n", fmt.Sprintf("probe-%d", i), metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: types.UID(fmt.Sprint("none", i))})
		w.gone(probe)
	}
}

func TestBackground(t *testing.T) {
	w := newWorld(t)
	a := w.make("n", "a")
	b := w.make("n", "b", by(a))
	c := w.make("n", "c", by(b))
	other := w.make("n", "other")
	d := w.make("n", "d", by(a), by(other))
	w.remove(a, metav1.DeletePropagationBackground)
	if _, ok := w.get(a); ok {
		t.Error("the owner waits")
	}
	w.gone(b, c)
	controllertest.Until(t, func() string {
		if now, ok := w.get(d); !ok || len(now.OwnerReferences) != 1 || now.OwnerReferences[0].UID != other.UID {
			return fmt.Sprintf("what has another owner became %v, %+v", ok, now)
		}
		return ""
	})
}

func TestForeground(t *testing.T) {
	w := newWorld(t)
	a := w.make("n", "a")
	b := w.make("n", "b", by(a))
	held := w.make("n", "held", by(b))
	held.Finalizers = []string{"example.org/hold"}
	held, err := w.env.Admin.CoreV1().ConfigMaps("n").Update(t.Context(), held, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.remove(a, metav1.DeletePropagationForeground)
	controllertest.Until(t, func() string {
		if now, ok := w.get(held); !ok || now.DeletionTimestamp == nil {
			return "the dependent of the dependent is not deleted"
		}
		return ""
	})
	w.passed()
	for _, cm := range []*v1.ConfigMap{a, b} {
		if _, ok := w.get(cm); !ok {
			t.Errorf("%s has not waited for its dependent", cm.Name)
		}
	}
	now, _ := w.get(held)
	now.Finalizers = nil
	if _, err := w.env.Admin.CoreV1().ConfigMaps("n").Update(t.Context(), now, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.gone(held, b, a)
}

// Objects that own one another in a circle do not wait for one another.
func TestForegroundCircle(t *testing.T) {
	w := newWorld(t)
	a := w.make("n", "a")
	b := w.make("n", "b", by(a))
	a.OwnerReferences = []metav1.OwnerReference{by(b)}
	if _, err := w.env.Admin.CoreV1().ConfigMaps("n").Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.passed()
	w.remove(a, metav1.DeletePropagationForeground)
	w.gone(a, b)
}

func TestOrphan(t *testing.T) {
	w := newWorld(t)
	a := w.make("n", "a")
	b := w.make("n", "b", by(a))
	w.passed()
	w.remove(a, metav1.DeletePropagationOrphan)
	w.gone(a)
	w.passed()
	if now, ok := w.get(b); !ok || len(now.OwnerReferences) != 0 {
		t.Errorf("the orphan: %v %+v", ok, now)
	}
}

// k/k 65200 and 88097: a reference that cannot be right deletes nothing: to an
// owner in another namespace, of another kind or name, of a kind that does not
// exist, or to a namespaced owner from an object without a namespace.
func TestBadReferences(t *testing.T) {
	w := newWorld(t)
	a := w.make("n", "a")
	w.passed()
	wrong := func(change func(*metav1.OwnerReference)) metav1.OwnerReference {
		r := by(a)
		change(&r)
		return r
	}
	kept := []*v1.ConfigMap{
		w.make("other", "cross", by(a)),
		w.make("n", "kind", wrong(func(r *metav1.OwnerReference) { r.Kind = "Secret" })),
		w.make("n", "name", wrong(func(r *metav1.OwnerReference) { r.Name = "b" })),
		w.make("n", "unknown", wrong(func(r *metav1.OwnerReference) { r.Kind, r.APIVersion = "Thing", "example.org/v1" })),
	}
	node, err := w.env.Admin.CoreV1().Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node", OwnerReferences: []metav1.OwnerReference{by(a)}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good := w.make("n", "good", by(a))
	check := func(when string) {
		t.Helper()
		w.passed()
		for _, cm := range kept {
			if now, ok := w.get(cm); !ok || now.DeletionTimestamp != nil || len(now.OwnerReferences) != 1 {
				t.Errorf("%s: %s: %v %+v", when, cm.Name, ok, now)
			}
		}
		if _, err := w.env.Admin.CoreV1().Nodes().Get(t.Context(), node.Name, metav1.GetOptions{}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("while the owner is there")
	if _, ok := w.get(good); !ok {
		t.Error("the good dependent is gone")
	}
	// They do not hold the owner either, and do not go with it.
	w.remove(a, metav1.DeletePropagationForeground)
	w.gone(a, good)
	check("when the owner is gone")
}
