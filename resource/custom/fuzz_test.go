package custom

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"pgregory.net/rapid"
)

// everything has each thing of a schema that decoding, pruning, defaulting and
// validation treat in a way of their own.
const everything = `
type: object
properties:
  spec:
    type: object
    required: [name]
    properties:
      name: {type: string, maxLength: 20, default: none, pattern: "^[a-z]*$"}
      count: {type: integer, format: int32, minimum: 1, default: 1}
      ratio: {type: number, nullable: true}
      port: {x-kubernetes-int-or-string: true}
      when: {type: string, format: date-time}
      raw: {type: string, format: byte}
      tags: {type: array, maxItems: 5, x-kubernetes-list-type: set, items: {type: string, maxLength: 9}}
      parts:
        type: array
        maxItems: 5
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name, kind]
        items:
          type: object
          required: [name]
          properties: {name: {type: string, maxLength: 9}, kind: {type: string, default: x, maxLength: 9}, size: {type: integer}}
      labels: {type: object, maxProperties: 5, additionalProperties: {type: string, maxLength: 9, default: ""}}
      open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {known: {type: object, properties: {a: {type: boolean}}}}}
      pod: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
      nested: {type: object, default: {}, properties: {deep: {type: object, default: {}, properties: {value: {type: string, default: v}}}}}
      either: {type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: [a]}, {required: [b]}]}
    x-kubernetes-validations:
    - {rule: "!has(self.tags) || self.tags.all(t, t != self.name)", message: "a tag is the name"}
    - {rule: "self.count < 100 || oldSelf.count >= 100", message: "too many", optionalOldSelf: true}
  status: {type: object, nullable: true, properties: {ready: {type: boolean}}}
`

// FuzzObject takes what a client sends, as an object and as an update of another,
// through all that happens to it: nothing may panic, what was accepted reads the
// same after it was stored, and is still accepted when nothing is changed.
func FuzzObject(f *testing.F) {
	const head = `{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"a"},`
	for _, spec := range []string{
		`{"name":"a"}`, `{"name":null,"ratio":null,"count":2147483648}`, `{"name":"b","tags":["x","x"],"parts":[{"name":"p"},{"name":"p","kind":"y"}]}`,
		`{"name":"c","port":"80","when":"2026-01-01T00:00:00Z","raw":"AA==","labels":{"a":null},"unknown":{"a":[{}]}}`,
		`{"name":"d","open":{"known":{"a":true,"b":1},"x":[1.5,1e400]},"pod":{"apiVersion":"v1","kind":"Pod","metadata":{"name":1,"labels":{"a":"b"}},"x":1}}`,
		`{"name":"e","nested":{"deep":null},"either":{"a":"1","b":"2"},"name":"twice"}`,
	} {
		f.Add([]byte(head+`"spec":`+spec+`}`), []byte(head+`"spec":{"name":"a"},"status":null}`), true)
	}
	l := newLife(f)
	f.Fuzz(func(t *testing.T, js, other []byte, strict bool) { l.lead(t, js, other, strict) })
}

// TestLife leads lives whose objects have the fields of the schema, right or wrong.
func TestLife(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	rapid.Check(t, func(t *rapid.T) {
		l.lead(t, anyBoat(t, "object"), anyBoat(t, "other"), rapid.Bool().Draw(t, "strict"))
	})
}

// good are values that the fields of everything take.
var good = map[string][]any{
	"name": {"a", "b"}, "count": {1, 2, 100, nil}, "ratio": {0.5, nil, 1}, "port": {80, "http"}, "when": {"2026-01-01T00:00:00Z"}, "raw": {"AA=="},
	"tags": {[]any{"x", "y"}, []any{}, []any{"a"}}, "parts": {[]any{map[string]any{"name": "p"}, map[string]any{"name": "p", "kind": "y", "size": 3}}},
	"labels": {map[string]any{"a": "b", "c": nil}}, "open": {map[string]any{"known": map[string]any{"a": true, "z": 1}, "x": []any{nil}}},
	"pod":    {map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "z": 1}, "z": nil}},
	"nested": {map[string]any{}, map[string]any{"deep": nil}, nil}, "either": {map[string]any{"a": "1"}}, "unknown": {1},
}

// anyBoat is an object of which most is right.
func anyBoat(t *rapid.T, label string) []byte {
	spec := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(good)) {
		values := good[name]
		switch rapid.IntRange(0, 12).Draw(t, label+" "+name) {
		case 0, 1, 2, 3:
			spec[name] = values[rapid.IntRange(0, len(values)-1).Draw(t, "value")]
		case 4:
			spec[name] = anyValue(2).Draw(t, "anything")
		}
	}
	boat := map[string]any{"apiVersion": "example.com/v1", "kind": "Boat", "metadata": map[string]any{"name": "a"}, "spec": spec}
	if rapid.Bool().Draw(t, "status") {
		boat["status"] = anyValue(2).Draw(t, "anything")
	}
	js, err := json.Marshal(boat)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// life is what happens to objects of everything.
type life struct {
	kind    *Kind
	version *Version
}

func newLife(t testing.TB) *life {
	k := kind(t, everything)
	return &life{k, k.versions["v1"]}
}

// read takes what a client has sent, nil where it is no object.
func (l *life) read(js []byte, strict bool) *Object {
	o := l.version.New()
	if _, err := o.DecodeJSON(js, strict); err != nil || o.Kind != "Boat" || o.APIVersion != "example.com/v1" {
		return nil
	}
	l.version.fill(o)
	return o
}

// fatal is how a test or a property ends.
type fatal interface {
	Fatalf(format string, args ...any)
}

func (l *life) lead(t fatal, js, other []byte, strict bool) {
	o := l.read(js, strict)
	if o == nil {
		return
	}
	old := l.read(other, false)
	prepareCreate(nil, o)
	if errs := validateCreate(o); len(errs) > 0 {
		if old != nil {
			_ = validateUpdate(o, old)
			_ = validateStatus(o, old)
		}
		return
	}
	stored, err := l.kind.Encode(o)
	if err != nil {
		t.Fatalf("%s cannot be stored: %v", js, err)
	}
	obj, err := l.kind.Decode(stored)
	if err != nil {
		t.Fatalf("%s cannot be read: %v", stored, err)
	}
	again, err := l.kind.Encode(obj)
	if err != nil {
		t.Fatalf("%s cannot be stored again: %v", stored, err)
	}
	if third, err := l.kind.Decode(again); err != nil || !equality.Semantic.DeepEqual(third.(*Object).fields(), obj.(*Object).fields()) {
		t.Fatalf("read as %v and, stored again, as %v (%v)", obj.(*Object).fields(), third.(*Object).fields(), err)
	}
	if kept := l.kind.Keep(o, stored).(*Object); !equality.Semantic.DeepEqual(kept.fields(), obj.(*Object).fields()) {
		t.Fatalf("kept as %v and read as %v", kept.fields(), obj.(*Object).fields())
	}
	next := obj.DeepCopyObject().(*Object)
	prepareUpdate(nil, next, obj.(*Object))
	if next.Generation != obj.(*Object).Generation {
		t.Fatalf("%s: an update that changes nothing is generation %d", stored, next.Generation)
	}
	if errs := validateUpdate(next, obj.(*Object)); len(errs) > 0 {
		t.Fatalf("%s is refused when it is not changed: %v", stored, errs)
	}
	if old != nil {
		prepareStatus(nil, old, obj.(*Object))
		_ = validateStatus(old, obj.(*Object))
	}
}
