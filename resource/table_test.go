package resource

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// lease is the smallest row that can be defined, of any name.
func lease(plural string, change func(*Row[*coordinationv1.Lease])) *Definition {
	r := Row[*coordinationv1.Lease]{
		Storage:      schema.GroupVersion{Group: "test.io", Version: "v1"},
		Kind:         "Kind-" + plural,
		Plural:       plural,
		New:          func() *coordinationv1.Lease { return new(coordinationv1.Lease) },
		NewList:      func() runtime.Object { return new(coordinationv1.LeaseList) },
		ValidateName: func(string, bool) []string { return nil },
	}
	if change != nil {
		change(&r)
	}
	return r.Define()
}

func resourceOf(d *Definition) schema.GroupVersionResource { return d.Storage.WithResource(d.Plural) }

func TestTableReplace(t *testing.T) {
	t.Parallel()
	a, b, c := lease("as", nil), lease("bs", nil), lease("cs", nil)
	table := NewTable(a, b)
	before, changed := table.Changed()
	select {
	case <-changed:
		t.Fatal("changed before it was")
	default:
	}
	if err := table.Replace([]*Definition{a}, []*Definition{c}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("a change is not announced")
	}
	now := table.View()
	for _, w := range []struct {
		view *View
		d    *Definition
		want bool
	}{{before, a, true}, {before, c, false}, {now, a, false}, {now, b, true}, {now, c, true}} {
		if _, ok := w.view.Resource(resourceOf(w.d)); ok != w.want {
			t.Errorf("%s by name: %v", w.d.Plural, ok)
		}
		if _, ok := w.view.KindFor(w.d.GroupVersionKind()); ok != w.want {
			t.Errorf("%s by kind: %v", w.d.Plural, ok)
		}
	}
}

// TestTableRefusesClashes: what cannot be told apart is not served, and leaves
// the table as it was.
func TestTableRefusesClashes(t *testing.T) {
	t.Parallel()
	a := lease("as", nil)
	for name, clash := range map[string]*Definition{
		"the same name":    lease("as", func(r *Row[*coordinationv1.Lease]) { r.Prefix = "elsewhere" }),
		"the same storage": lease("others", func(r *Row[*coordinationv1.Lease]) { r.Prefix = "as" }),
	} {
		table := NewTable(a)
		_, changed := table.Changed()
		if err := table.Replace(nil, []*Definition{clash}); err == nil {
			t.Errorf("%s is served twice", name)
		}
		select {
		case <-changed:
			t.Errorf("%s: a refused change is announced", name)
		default:
		}
		if n := len(table.View().Definitions); n != 1 {
			t.Errorf("%s: %d definitions", name, n)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	in := lease("as", nil)
	out := lease("bs", func(r *Row[*coordinationv1.Lease]) { r.ClusterScoped, r.Prefix = true, "services/specs" })
	for got, want := range map[string]string{
		in.Key("ns", "x"):  "/registry/as/ns/x",
		out.Key("ns", "x"): "/registry/services/specs/x",
		out.Root():         "/registry/services/specs/",
	} {
		if got != want {
			t.Errorf("%s is not %s", got, want)
		}
	}
}

func TestDefineCompletes(t *testing.T) {
	t.Parallel()
	d := lease("as", nil)
	if d.Singular != "kind-as" || d.Prefix != "as" || len(d.Verbs) != len(AllVerbs) || !d.Has("watch") || d.HasGeneration || d.HasGraceful {
		t.Errorf("defined as %+v", d)
	}
	// Hooks that a row leaves out do nothing.
	o := d.New()
	d.Default(o)
	d.MarkDeleted(nil, o)
	if d.Validate(o) != nil || d.ValidateUpdate(o, o) != nil || d.Warnings(o, nil) != nil || d.Keep(o) != "" || d.Held(o) ||
		d.Graceful(o, nil) != 0 || d.TTL(o) != 0 || d.Fields(o) != nil || d.Cells(o, metav1.Now().Time) != nil || d.RowConditions(o) != nil {
		t.Error("a hook that is not there does something")
	}
	v := lease("vs", func(r *Row[*coordinationv1.Lease]) { r.Virtual, r.NewList, r.ValidateName = true, nil, nil })
	if len(v.Verbs) != 1 || !v.Has("create") {
		t.Errorf("a virtual resource serves %v", v.Verbs)
	}
}

func TestDefineRefusesHalfARow(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Row[*coordinationv1.Lease]){
		"no kind":        func(r *Row[*coordinationv1.Lease]) { r.Kind = "" },
		"no constructor": func(r *Row[*coordinationv1.Lease]) { r.New = nil },
		"no name check":  func(r *Row[*coordinationv1.Lease]) { r.ValidateName = nil },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: defined", name)
				}
			}()
			lease("as", change)
		}()
	}
}

func TestGeneration(t *testing.T) {
	t.Parallel()
	spec := func(l *coordinationv1.Lease) any { return &l.Spec }
	write := func(_ *Request, l, _ *coordinationv1.Lease) { l.Labels = map[string]string{"hook": "ran"} }
	d := lease("as", func(r *Row[*coordinationv1.Lease]) {
		r.Spec = spec
		r.Updates = map[string]Update[*coordinationv1.Lease]{"status": {PrepareUpdate: write}, "resize": {PrepareUpdate: write}}
	})
	old := d.New().(*coordinationv1.Lease)
	old.Generation = 7
	d.PrepareCreate(nil, old)
	if old.Generation != 1 {
		t.Errorf("created with generation %d", old.Generation)
	}
	change := func() *coordinationv1.Lease {
		l := old.DeepCopy()
		l.Spec.HolderIdentity, l.Generation = new("me"), 9
		return l
	}
	same := old.DeepCopy()
	same.Generation = 9
	d.PrepareUpdate(nil, same, old)
	if same.Generation != 1 {
		t.Errorf("an update of nothing has generation %d", same.Generation)
	}
	for name, want := range map[string]int64{"": 2, "resize": 2, "status": 1} {
		l := change()
		if name == "" {
			d.PrepareUpdate(nil, l, old)
		} else {
			d.Updates[name].PrepareUpdate(nil, l, old)
			if l.Labels["hook"] != "ran" {
				t.Errorf("%s: the hook did not run", name)
			}
		}
		if l.Generation != want {
			t.Errorf("update of %q: generation %d, not %d", name, l.Generation, want)
		}
	}
}

func TestStoredVersionIsServedFirst(t *testing.T) {
	t.Parallel()
	d := lease("as", func(r *Row[*coordinationv1.Lease]) {
		r.Also = []Version[*coordinationv1.Lease]{{
			GroupVersion: schema.GroupVersion{Group: "old.io", Version: "v1"},
			New:          func() Object { return new(corev1.ConfigMap) },
			To: func(l *coordinationv1.Lease) (Object, error) {
				return &corev1.ConfigMap{ObjectMeta: l.ObjectMeta}, nil
			},
			From: func(o Object) (*coordinationv1.Lease, error) {
				return &coordinationv1.Lease{ObjectMeta: o.(*corev1.ConfigMap).ObjectMeta}, nil
			},
		}}
	})
	if len(d.Served) != 2 || !d.Served[0].Storage || d.Served[1].Storage || d.Served[1].Kind != d.Kind {
		t.Fatalf("served as %+v", d.Served)
	}
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	if o, err := d.Served[0].To(l); err != nil || o != Object(l) {
		t.Errorf("the stored version converts to %v (%v)", o, err)
	}
	o, err := d.Served[1].To(l)
	if err != nil || o.GetName() != "x" {
		t.Errorf("the other version is %v (%v)", o, err)
	}
	back, err := d.Served[1].From(o)
	if err != nil || back.GetName() != "x" {
		t.Errorf("it comes back as %v (%v)", back, err)
	}
	m, ok := NewTable(d).View().Resource(schema.GroupVersionResource{Group: "old.io", Version: "v1", Resource: "as"})
	if !ok || m.Served.GroupVersion.Group != "old.io" || m.Definition != d {
		t.Errorf("found as %+v (%v)", m, ok)
	}
}
