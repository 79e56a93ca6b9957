package resourcetest

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/diff"

	"proa/auth"
	"proa/cache/codec"
	"proa/resource"
)

var now = metav1.NewTime(time.Date(2026, 4, 22, 12, 0, 0, 0, time.UTC))

func request() *resource.Request {
	return &resource.Request{Now: now, User: &auth.User{
		Name: "jane", UID: "u-1", Groups: []string{auth.GroupAuthenticated}, Extra: map[string][]string{"scopes": {"a"}},
	}}
}

// Check runs every check on a row, over n pairs of random objects and those that
// are empty or full.
func (c *Checker) Check(t *testing.T, d *resource.Definition, seed int64, n int) {
	t.Helper()
	f := NewFiller(seed)
	empty := d.New()
	pairs := [][2]resource.Object{{empty, copyOf(empty)}, {copyOf(empty), f.Object(d)}}
	if full := c.object(t, d); full != nil {
		pairs = append(pairs, [2]resource.Object{full, copyOf(full)}, [2]resource.Object{copyOf(full), f.Object(d)})
	}
	for range n {
		a, b := f.Object(d), f.Object(d)
		pairs = append(pairs, [2]resource.Object{a, b})
		// Most updates change little.
		little := copyOf(a)
		little.SetLabels(map[string]string{"changed": "yes"})
		pairs = append(pairs, [2]resource.Object{little, a})
	}
	for i, p := range pairs {
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s: pair %d of seed %d: panic: %v", d.GroupResource(), i, seed, r)
					panic(r)
				}
			}()
			checkPair(t, d, p[0], p[1])
		}()
		if t.Failed() {
			t.Logf("%s: pair %d of seed %d", d.GroupResource(), i, seed)
			return
		}
	}
}

func checkPair(t *testing.T, d *resource.Definition, a, old resource.Object) {
	t.Helper()
	// As sent, before any defaulting.
	d.Validate(copyOf(a))
	d.Cells(copyOf(a), now.Time)
	d.Graceful(copyOf(a), &metav1.DeleteOptions{})
	d.TTL(a)
	d.Held(a)
	d.Keep(a)
	d.MarkDeleted(request(), copyOf(a))

	checkDefault(t, d, copyOf(a))
	if !d.Virtual {
		// Storage does not tell empty from missing; objects that have been
		// there once survive it unchanged.
		a, old = stored(t, d, a), stored(t, d, old)
	}
	d.Default(a)
	d.Default(old)

	created := copyOf(a)
	d.PrepareCreate(request(), created)
	d.Validate(created)
	d.Warnings(created, nil)
	wantGeneration := a.GetGeneration() // a client's own, which means nothing to anybody
	if d.HasGeneration {
		wantGeneration = 1
	}
	if g := created.GetGeneration(); g != wantGeneration {
		t.Errorf("%s is created with generation %d, not %d", d.GroupResource(), g, wantGeneration)
	}
	if !d.Virtual {
		checkUpdates(t, d, a, old)
		checkRow(t, d, created)
		checkStorage(t, d, created)
	}
	checkVersions(t, d, created)
	if d.Scale != nil {
		checkScale(t, d, created)
	}
}

func checkDefault(t *testing.T, d *resource.Definition, o resource.Object) {
	t.Helper()
	d.Default(o)
	again := copyOf(o)
	d.Default(again)
	same(t, d, "defaulting again", again, o)
}

func checkUpdates(t *testing.T, d *resource.Definition, a, old resource.Object) {
	t.Helper()
	before := copyOf(old)
	updated := copyOf(a)
	d.PrepareUpdate(request(), updated, old)
	d.ValidateUpdate(updated, old)
	d.Warnings(updated, old)
	same(t, d, "the old object of an update", old, before)
	if g := updated.GetGeneration(); g < old.GetGeneration() {
		t.Errorf("%s: an update lowers the generation", d.GroupResource())
	}

	unchanged := copyOf(old)
	d.PrepareUpdate(request(), unchanged, old)
	if unchanged.GetGeneration() != old.GetGeneration() {
		t.Errorf("%s: an update that changes nothing raises the generation", d.GroupResource())
	}

	for name, u := range d.Updates {
		updated := copyOf(a)
		u.PrepareUpdate(request(), updated, old)
		u.ValidateUpdate(updated, old)
		u.Warnings(updated, old)
		same(t, d, "the old object of an update of "+name, old, before)
		if name == "status" && updated.GetGeneration() != old.GetGeneration() {
			t.Errorf("%s: an update of the status changes the generation", d.GroupResource())
		}
	}
}

func checkRow(t *testing.T, d *resource.Definition, o resource.Object) {
	t.Helper()
	cells := d.Cells(o, now.Time)
	if len(cells) != len(d.Columns) {
		t.Errorf("%s: %d cells in %d columns", d.GroupResource(), len(cells), len(d.Columns))
		return
	}
	for i, c := range cells {
		// Tables are sent as JSON, where other types would have to be guessed.
		switch c.(type) {
		case string, int64, bool:
		default:
			t.Errorf("%s: the cell of column %s is a %T", d.GroupResource(), d.Columns[i].Name, c)
		}
	}
	d.RowConditions(o)
	for name := range d.Fields(o) {
		if _, ok := d.Fields(d.New())[name]; !ok {
			t.Errorf("%s: field %s is not there for every object", d.GroupResource(), name)
		}
	}
}

func checkStorage(t *testing.T, d *resource.Definition, o resource.Object) {
	t.Helper()
	back := stored(t, d, o)
	// Reading defaults, since what was stored may be from an older release.
	d.Default(back)
	d.Default(o)
	same(t, d, "what was stored", back, o)
}

// stored is an object as it comes back from storage.
func stored(t *testing.T, d *resource.Definition, o resource.Object) resource.Object {
	t.Helper()
	b, err := codec.Storage{}.Encode(d, o)
	if err != nil {
		t.Fatalf("%s: %v", d.GroupResource(), err)
	}
	back, err := codec.Storage{}.Decode(d, b)
	if err != nil {
		t.Fatalf("%s: %v", d.GroupResource(), err)
	}
	return back
}

func checkVersions(t *testing.T, d *resource.Definition, o resource.Object) {
	t.Helper()
	for i := range d.Served {
		s := &d.Served[i]
		before := copyOf(o)
		there, err := s.To(o)
		if err != nil {
			t.Errorf("%s to %s: %v", d.GroupResource(), s.GroupVersion, err)
			continue
		}
		same(t, d, "an object converted to "+s.GroupVersion.String(), o, before)
		s.Validate(there, nil)
		s.Validate(there, there)
		s.Fields(o)
		back, err := s.From(there)
		if err != nil {
			t.Errorf("%s from %s: %v", d.GroupResource(), s.GroupVersion, err)
			continue
		}
		same(t, d, "an object that was "+s.GroupVersion.String(), back, before)
	}
}

func checkScale(t *testing.T, d *resource.Definition, o resource.Object) {
	t.Helper()
	if err := d.Scale.Set(o, 7); err != nil {
		t.Fatal(err)
	}
	s, _, err := d.Scale.Get(o)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Spec.Replicas; n != 7 {
		t.Errorf("%s: scaled to 7 and has %d", d.GroupResource(), n)
	}
}

func same(t *testing.T, d *resource.Definition, what string, got, want resource.Object) {
	t.Helper()
	// The kind of an object is known from where it is; codecs set and clear it.
	got, want = copyOf(got), copyOf(want)
	got.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
	want.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
	if !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("%s: %s differs:\n%s", d.GroupResource(), what, diff.Diff(want, got))
	}
}

func copyOf(o resource.Object) resource.Object {
	c, ok := o.DeepCopyObject().(resource.Object)
	if !ok {
		panic(fmt.Sprintf("%T has no metadata", o))
	}
	return c
}
