package resourcetest

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"proa/resource"
)

// Verdict is one case of a table test: a change of a manifest, and what
// validation must say of the result, word for word and in order.
type Verdict struct {
	Name string
	// Patch in YAML is merged into the base manifest; null removes a field.
	Patch string
	// Want are the errors; none for what is valid.
	Want []string
}

// Verdicts creates the base manifest with each patch applied.
func Verdicts(t *testing.T, d *resource.Definition, base string, cases ...Verdict) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			expect(t, d.Validate(Object(t, d, base, c.Patch)), c.Want)
		})
	}
}

// UpdateVerdicts updates the object of the base manifest to what each patch
// makes of it.
func UpdateVerdicts(t *testing.T, d *resource.Definition, base string, cases ...Verdict) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			old := Object(t, d, base, "")
			o := patched(t, d, old, c.Patch)
			d.Default(o)
			d.PrepareUpdate(request(), o, old)
			expect(t, d.ValidateUpdate(o, old), c.Want)
		})
	}
}

// SubresourceVerdicts writes each patch through a subresource. The base is
// stored as it is, with its status.
func SubresourceVerdicts(t *testing.T, d *resource.Definition, name, base string, cases ...Verdict) {
	t.Helper()
	u := d.Updates[name]
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			old := decode(t, d, toJSON(t, base))
			d.Default(old)
			o := patched(t, d, old, c.Patch)
			d.Default(o)
			u.PrepareUpdate(request(), o, old)
			expect(t, u.ValidateUpdate(o, old), c.Want)
		})
	}
}

// Object is the object of a patched manifest as it is when it has been
// created, an hour before [Now].
func Object(t *testing.T, d *resource.Definition, base, patch string) resource.Object {
	t.Helper()
	o := decode(t, d, toJSON(t, base))
	o = patched(t, d, o, patch)
	o.SetUID("1-2-3")
	o.SetCreationTimestamp(metav1.NewTime(now.Add(-time.Hour)))
	d.Default(o)
	d.PrepareCreate(request(), o)
	return o
}

// Now is the time of every request that this package makes.
func Now() time.Time { return now.Time }

// Cells checks how the object of a manifest, with its status, is printed now.
func Cells(t *testing.T, d *resource.Definition, manifest string, want ...any) {
	t.Helper()
	o := decode(t, d, toJSON(t, manifest))
	o.SetCreationTimestamp(metav1.NewTime(now.Add(-time.Hour)))
	if got := d.Cells(o, now.Time); !slices.Equal(got, want) {
		t.Errorf("%s is printed as\n%#v, not as\n%#v", d.GroupResource(), got, want)
	}
}

// Columns checks the names of the columns; those shown only in wide output are
// given in parentheses.
func Columns(t *testing.T, d *resource.Definition, want ...string) {
	t.Helper()
	var got []string
	for _, c := range d.Columns {
		if c.Priority > 0 {
			got = append(got, "("+c.Name+")")
		} else {
			got = append(got, c.Name)
		}
		if c.Description == "" {
			t.Errorf("%s: column %s has no description", d.GroupResource(), c.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has the columns\n%q, not\n%q", d.GroupResource(), got, want)
	}
}

func expect(t *testing.T, errs field.ErrorList, want []string) {
	t.Helper()
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func patched(t *testing.T, d *resource.Definition, o resource.Object, patch string) resource.Object {
	t.Helper()
	if patch == "" {
		return copyOf(o)
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = jsonpatch.MergePatch(b, toJSON(t, patch)); err != nil {
		t.Fatal(err)
	}
	return decode(t, d, b)
}

func decode(t *testing.T, d *resource.Definition, data []byte) resource.Object {
	t.Helper()
	o := d.New()
	// Strictly: a misspelt field would test nothing.
	if err := yaml.UnmarshalStrict(data, o); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return o
}

func toJSON(t *testing.T, manifest string) []byte {
	t.Helper()
	b, err := yaml.YAMLToJSONStrict([]byte(manifest))
	if err != nil {
		t.Fatalf("%v in %s", err, manifest)
	}
	return b
}

// Reviewed checks what validation says of a review, which is sent as it stands
// and never stored.
func Reviewed(t *testing.T, d *resource.Definition, manifest string, want ...string) {
	t.Helper()
	expect(t, d.Validate(decode(t, d, toJSON(t, manifest))), want)
}
