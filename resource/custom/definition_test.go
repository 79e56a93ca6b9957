package custom

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"pgregory.net/rapid"

	"proa/resource/apiextensions"
)

// anySchema draws a schema, of which most is right.
func anySchema(t *rapid.T, depth int, kinds ...string) map[string]any {
	one := func(label string, of ...any) any { return of[rapid.IntRange(0, len(of)-1).Draw(t, label)] }
	seldom := func(label string) bool { return rapid.IntRange(0, 5).Draw(t, label) == 0 }
	s := map[string]any{}
	kind := rapid.SampledFrom(kinds).Draw(t, "type")
	if kind == "int-or-string" {
		s["x-kubernetes-int-or-string"] = true
		return s
	}
	s["type"] = kind
	switch kind {
	case "object":
		if depth > 0 && seldom("map") {
			s["additionalProperties"] = anySchema(t, depth-1, all...)
			break
		}
		properties := map[string]any{}
		for i := range rapid.IntRange(0, 3).Draw(t, "properties") {
			if depth > 0 {
				properties[fmt.Sprintf("%c", 'a'+i)] = anySchema(t, depth-1, all...)
			}
		}
		s["properties"] = properties
		if seldom("required") {
			s["required"] = []any{"a"}
		}
		if seldom("open") {
			s["x-kubernetes-preserve-unknown-fields"] = true
		}
		if seldom("embedded") {
			s["x-kubernetes-embedded-resource"] = true
		}
	case "array":
		s["items"] = anySchema(t, max(depth-1, 0), all...)
		if seldom("list") {
			s["x-kubernetes-list-type"] = one("list type", "atomic", "set", "map")
		}
		if seldom("keys") {
			s["x-kubernetes-list-map-keys"] = []any{"a"}
		}
		s["maxItems"] = 3
	case "string":
		if seldom("format") {
			s["format"] = one("format", "date-time", "byte", "uuid", "ipv4", "duration", "quantity", "nonsense")
		}
		if seldom("pattern") {
			s["pattern"] = one("pattern", "^a*$", "(", "\\d+")
		}
		s["maxLength"] = 9
	case "integer", "number":
		if seldom("minimum") {
			s["minimum"] = one("minimum", 0, -1.5, 1e300)
		}
		if seldom("format") {
			s["format"] = one("format", "int32", "int64", "float", "double")
		}
	}
	if seldom("nullable") {
		s["nullable"] = true
	}
	if seldom("default") {
		s["default"] = anyValue(1).Draw(t, "default")
	}
	if seldom("enum") {
		s["enum"] = []any{anyValue(0).Draw(t, "enum")}
	}
	if seldom("rule") {
		s["x-kubernetes-validations"] = []any{map[string]any{
			"rule":    one("rule", "self == oldSelf", "has(self.a)", "self.a == self.a", "self.all(x, x == x)", "self > 1", "size(self) < 3", "(", "self.a.matches('(')", "string(self) != ''"),
			"message": "m",
		}}
	}
	if seldom("value validation") {
		s[one("which", "allOf", "anyOf", "oneOf").(string)] = []any{map[string]any{"required": []any{"a"}}, map[string]any{"properties": map[string]any{"a": map[string]any{"maxLength": 1}}}}
	}
	return s
}

var all = []string{"object", "array", "string", "integer", "number", "boolean", "int-or-string"}

// anyDefinition draws a definition of boats.
func anyDefinition(t *rapid.T) *apiextensionsv1.CustomResourceDefinition {
	properties := map[string]any{"spec": anySchema(t, 3, "object"), "status": anySchema(t, 2, "object")}
	version := map[string]any{
		"name": "v1", "served": true, "storage": true, "subresources": map[string]any{},
		"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": properties}},
	}
	subresources := version["subresources"].(map[string]any)
	if rapid.Bool().Draw(t, "status") {
		subresources["status"] = map[string]any{}
	}
	if rapid.Bool().Draw(t, "scale") {
		subresources["scale"] = map[string]any{
			"specReplicasPath":   rapid.SampledFrom([]string{".spec.a", ".spec.b.c", ".status.a", ".spec", ".spec.a[0]"}).Draw(t, "replicas"),
			"statusReplicasPath": ".status.a", "labelSelectorPath": ".status.b",
		}
	}
	if rapid.Bool().Draw(t, "columns") {
		version["additionalPrinterColumns"] = []any{map[string]any{
			"name": "A", "type": rapid.SampledFrom([]string{"string", "integer", "date", "number", "boolean"}).Draw(t, "column"),
			"jsonPath": rapid.SampledFrom([]string{".spec.a", ".spec.a[*].b", ".spec.a[?(@.b==1)].c", ".metadata.creationTimestamp", ".spec.a[0:2]", ".spec..a", "..", ".spec.a[-1]"}).Draw(t, "path"),
		}}
	}
	if rapid.Bool().Draw(t, "selectable") {
		version["selectableFields"] = []any{map[string]any{"jsonPath": rapid.SampledFrom([]string{".spec.a", ".spec.b.a", ".spec.a[0]", ".status.a"}).Draw(t, "selectable path")}}
	}
	js, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "boats.example.com"},
		"spec": map[string]any{
			"group": "example.com", "scope": "Namespaced", "versions": []any{version},
			"names": map[string]any{"plural": "boats", "singular": "boat", "kind": "Boat", "listKind": "BoatList"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &apiextensionsv1.CustomResourceDefinition{}
	if err := json.Unmarshal(js, d); err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return d
}

// TestAcceptedDefinitions: of a definition that validation accepts everything can
// be made, and any object of it is accepted or refused, but breaks nothing.
func TestAcceptedDefinitions(t *testing.T) {
	t.Parallel()
	row, accepted := apiextensions.CustomResourceDefinition(), 0
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		row.Default(d)
		row.PrepareCreate(nil, d)
		if errs := row.Validate(d); len(errs) > 0 {
			return
		}
		accepted++
		d.Status.AcceptedNames = d.Spec.Names
		text, _ := json.Marshal(d.Spec.Versions[0])
		k, def, err := New(d, nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		v := k.versions["v1"]
		if _, err := v.structural(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := v.checks(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for _, v2 := range []bool{false, true} {
			if obj, list := v.openAPI("#/definitions/", v2); obj == nil || list == nil {
				t.Fatalf("%s has no document", text)
			}
		}
		l := &life{k, v}
		boat := func() []byte {
			b, err := json.Marshal(map[string]any{
				"apiVersion": "example.com/v1", "kind": "Boat", "metadata": map[string]any{"name": "a"},
				"spec": rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), anyValue(3), 0, 3).Draw(t, "spec"), "status": anyValue(2).Draw(t, "status"),
			})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		js := boat()
		l.lead(t, js, boat(), true)
		if o := l.read(js, false); o != nil {
			_, _ = def.Cells(o, time.Unix(0, 0)), def.Fields(o)
			if def.Scale != nil {
				_, _, _ = def.Scale.Get(o)
			}
		}
	})
	if accepted == 0 {
		t.Error("no definition was accepted")
	}
}
