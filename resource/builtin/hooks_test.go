package builtin

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"

	"proa/auth"
	"proa/resource"
)

func TestEveryColumnHasItsCell(t *testing.T) {
	t.Parallel()
	for _, d := range Definitions() {
		if n := len(d.Columns); len(d.Cells(d.New(), time.Time{})) != n {
			t.Errorf("%s has %d columns and %d cells", d.GroupResource(), n, len(d.Cells(d.New(), time.Time{})))
		}
	}
}

// use sends an object through every hook of its row, as requests would. What
// it must hold to is that nothing panics, that an old object stays as it is,
// and that defaults once set stay.
func use(t *testing.T, d *resource.Definition, obj resource.Object) {
	t.Helper()
	req := &resource.Request{Now: metav1.Unix(1_700_000_000, 0), User: &auth.User{Name: "u"}}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	d.Default(obj)
	once := obj.DeepCopyObject()
	d.Default(obj)
	if !equality.Semantic.DeepEqual(once, obj) {
		t.Errorf("%s: defaults change an object that has them", d.GroupResource())
	}
	old := obj.DeepCopyObject().(resource.Object)
	shared := old.DeepCopyObject()
	d.PrepareCreate(req, obj)
	d.Validate(obj)
	d.Warnings(obj, nil)
	d.Graceful(obj, &metav1.DeleteOptions{})
	d.TTL(obj)
	d.Held(obj)
	d.Fields(obj)
	d.Cells(obj, req.Now.Time)
	d.RowConditions(obj)
	next := old.DeepCopyObject().(resource.Object)
	d.PrepareUpdate(req, next, old)
	d.ValidateUpdate(next, old)
	d.Warnings(next, old)
	d.MarkDeleted(req, next)
	for _, u := range d.Updates {
		next := old.DeepCopyObject().(resource.Object)
		u.PrepareUpdate(req, next, old)
		u.ValidateUpdate(next, old)
		u.Warnings(next, old)
	}
	if d.Scale != nil {
		d.Scale.Get(old)
		d.Scale.Set(next, 3)
	}
	for i := range d.Served {
		s := &d.Served[i]
		served, err := s.To(old)
		if err != nil {
			t.Errorf("%s as %s: %v", d.GroupResource(), s.GroupVersion, err)
			continue
		}
		back, err := s.From(served)
		if err != nil || !equality.Semantic.DeepEqual(back, old) {
			t.Errorf("%s does not come back from %s as it went: %v", d.GroupResource(), s.GroupVersion, err)
		}
		s.Validate(served, nil)
		s.Validate(served, served)
		s.Fields(old)
	}
	if !reflect.DeepEqual(shared, old) {
		t.Errorf("%s: a hook changes the old object", d.GroupResource())
	}
}

// TestHooksTakeAnything fills objects at random: most are invalid.
func TestHooksTakeAnything(t *testing.T) {
	t.Parallel()
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	for i, d := range Definitions() {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		f := randfill.NewWithSeed(int64(i)).NilChance(.4).NumElements(0, 2).MaxDepth(12).Funcs(
			func(s *string, _ randfill.Continue) { *s = words[r.IntN(len(words))] },
			func(m *metav1.Time, _ randfill.Continue) { *m = metav1.Unix(int64(r.Int32()), 0) },
			func(m *metav1.MicroTime, _ randfill.Continue) { m.Time = time.Unix(int64(r.Int32()), 0) },
			func(m *metav1.FieldsV1, _ randfill.Continue) { m.SetRawString("{}") },
			func(e *runtime.RawExtension, _ randfill.Continue) { e.Raw = []byte("{}") },
		)
		for range rounds {
			obj := d.New()
			f.Fill(obj)
			use(t, d, obj)
		}
		use(t, d, d.New())
	}
}

// words are what fields of text are filled with, so that names meet their
// references now and then.
var words = []string{
	"", "a", "b", "Name", "x.y/z", "a_b", "cpu", "memory", "hugepages-2Mi", "hugepages-x", "example.com/gpu", "..", "../x", "/a/b",
	"10.0.0.1", "::1", "10.0.0.0/8", "999", "None", "Always", "Never", "OnFailure", "v1", "metadata.labels['a']", "\x00", "ünï",
	"kubernetes.io/service-account-token", "ClusterIP", "LoadBalancer", "ExternalName", "NodePort", "IPv4", "IPv6", "TCP", "Terminating",
}

// TestPublishedObjects uses the objects that k8s.io/api publishes with every
// field set.
func TestPublishedObjects(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "testdata", "HEAD")
	for _, d := range Definitions() {
		group := d.Storage.Group
		if group == "" {
			group = "core"
		}
		text, err := os.ReadFile(filepath.Join(dir, group+"."+d.Storage.Version+"."+d.Kind+".yaml"))
		if err != nil {
			t.Errorf("%s: %v", d.GroupResource(), err)
			continue
		}
		obj := d.New()
		if err := yaml.UnmarshalStrict(text, obj); err != nil {
			t.Errorf("%s: %v", d.GroupResource(), err)
			continue
		}
		use(t, d, obj)
	}
}
