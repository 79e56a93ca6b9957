package managed

import (
	"fmt"
	"math/rand"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
	"proa/resource/builtin"
	"proa/resource/core"
	"proa/resource/resourcetest"
)

var tracker = sync.OnceValue(func() *Tracker {
	return New(StandardTypes)
})

func match(d *resource.Definition) resource.Match {
	return resource.Match{Definition: d, Served: &d.Served[0]}
}

// describe puts managed fields into one comparable text, without times.
func describe(entries []metav1.ManagedFieldsEntry) string {
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s %s %s %s %s", e.Manager, e.Operation, e.APIVersion, e.Subresource, e.FieldsV1.GetRawString()))
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// graft copies some of the fields of from into into, at any depth.
func graft(r *rand.Rand, into, from reflect.Value) {
	for i := range into.NumField() {
		f := into.Field(i)
		switch {
		case !f.CanSet():
		case f.Kind() == reflect.Struct && r.Float64() < 0.8:
			graft(r, f, from.Field(i))
		case r.Float64() < 0.15:
			f.Set(from.Field(i))
		case f.Kind() == reflect.Slice && f.Len() > 1 && r.Float64() < 0.3:
			// Another order, or one item less.
			g := reflect.MakeSlice(f.Type(), 0, f.Len())
			for _, j := range r.Perm(f.Len())[:f.Len()-r.Intn(2)] {
				g = reflect.Append(g, f.Index(j))
			}
			f.Set(g)
		}
	}
}

// The fast way and the library record the same, for every kind.
func TestFastEqualsLibrary(t *testing.T) {
	t.Parallel()
	const now = "2026-01-02T03:04:05Z"
	var at metav1.Time
	if err := at.UnmarshalQueryParameter(now); err != nil {
		t.Fatal(err)
	}
	tr := tracker()
	for _, d := range builtin.Definitions() {
		if d.Virtual {
			continue
		}
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			t.Parallel()
			m := match(d)
			r := rand.New(rand.NewSource(1))
			fill := resourcetest.NewFiller(1)
			handled, total := 0, 0
			for range 5 {
				live := d.New()
				obj := fill.Object(d)
				obj.SetManagedFields(nil)
				for step := range 4 {
					sub := ""
					if step%2 == 1 && d.Updates["status"] != nil {
						sub = "status"
					}
					s, err := tr.state(m, sub)
					if err != nil {
						t.Fatal(err)
					}
					manager := fmt.Sprint("m", r.Intn(3))
					a := obj.DeepCopyObject().(resource.Object)
					b := typed(obj.DeepCopyObject().(resource.Object), m)
					if err := s.slow(typed(live, m), b, manager); err != nil {
						// What the library cannot do is dropped either way.
						break
					}
					total++
					if tr.fast(s, sub, live, a, manager, at) {
						handled++
						if got, want := describe(a.GetManagedFields()), describe(b.GetManagedFields()); got != want {
							t.Fatalf("step %d: the fast way says\n%s\nthe library\n%s\nfrom %+v\nto %+v", step, got, want, live, obj)
						}
					}
					live = b
					live.SetUID("u")
					next := live.DeepCopyObject().(resource.Object)
					other := fill.Object(d)
					graft(r, reflect.ValueOf(next).Elem(), reflect.ValueOf(other).Elem())
					next.SetManagedFields(live.GetManagedFields())
					next.SetUID("u")
					obj = next
				}
			}
			if handled*2 < total {
				t.Errorf("the fast way handled %d of %d", handled, total)
			}
		})
	}
}

func benchPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", Labels: map[string]string{"app": "web", "pod-template-hash": "5d4c8b7f9"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: "registry.example/web:1.2.3", Args: []string{"--port=8080"},
			Ports: []corev1.ContainerPort{{ContainerPort: 8080, Name: "http", Protocol: "TCP"}},
			Env:   []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "C", Value: "d"}},
		}}},
	}
}

func BenchmarkUpdate(b *testing.B) {
	d := core.Pod()
	m := match(d)
	tr := tracker()
	empty := d.New()
	now := metav1.Now()
	created := benchPod()
	if err := tr.Update(m, "", empty, created, "bench", now); err != nil {
		b.Fatal(err)
	}
	created.UID = "u"
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := tr.Update(m, "", empty, benchPod(), "bench", now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("label", func(b *testing.B) {
		b.ReportAllocs()
		changed := created.DeepCopy()
		changed.Labels["x"] = "y"
		for b.Loop() {
			changed.ManagedFields = created.ManagedFields
			if err := tr.Update(m, "", created, changed, "other", now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		s, err := tr.state(m, "")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := s.library.Update(typed(empty, m), typed(benchPod(), m), "bench"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
