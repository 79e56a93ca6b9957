package custom

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// kind is a kind whose fields are those of a schema.
func kind(t testing.TB, schema string) *Kind {
	t.Helper()
	props := &apiextensionsv1.JSONSchemaProps{}
	if err := yaml.UnmarshalStrict([]byte(schema), props); err != nil {
		t.Fatal(err)
	}
	names := apiextensionsv1.CustomResourceDefinitionNames{Plural: "boats", Singular: "boat", Kind: "Boat", ListKind: "BoatList"}
	k, _, err := New(&apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "boats.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.com", Names: names, Scope: apiextensionsv1.NamespaceScoped,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{
				{Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: props}},
				{Name: "v2", Served: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: props}},
			},
		},
		Status: apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: names},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const anything = `{type: object, x-kubernetes-preserve-unknown-fields: true}`

// anyValue draws any JSON, to a depth.
func anyValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		most := 5
		if depth == 0 {
			most = 3
		}
		switch rapid.IntRange(0, most).Draw(t, "kind") {
		case 0:
			return rapid.String().Draw(t, "text")
		case 1:
			return rapid.Int64().Draw(t, "number")
		case 2:
			return rapid.Bool().Draw(t, "truth")
		case 3:
			return nil
		case 4:
			return rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "list")
		}
		return rapid.MapOfN(rapid.String(), anyValue(depth-1), 0, 3).Draw(t, "map")
	})
}

// TestBytes: whatever an object says, it says the same after it was stored, kept,
// read again and sent, and it shares the bytes that were stored.
func TestBytes(t *testing.T) {
	t.Parallel()
	k := kind(t, anything)
	rapid.Check(t, func(t *rapid.T) {
		sent := map[string]any{"apiVersion": "example.com/v1", "kind": "Boat", "metadata": map[string]any{"name": "a", "namespace": "b", "generation": 1}}
		for name, v := range rapid.MapOfN(rapid.StringMatching(`[a-z<"]{1,9}`), anyValue(3), 0, 4).Draw(t, "fields") {
			if name != "kind" && name != "metadata" {
				sent[name] = v
			}
		}
		js, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		o := k.storage.New()
		if _, err := o.DecodeJSON(js, false); err != nil {
			t.Fatal(err)
		}
		want := text(t, o.UnstructuredContent())
		stored, err := k.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		kept := k.Keep(o, stored).(*Object)
		read, err := k.Decode(stored)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]*Object{"kept": kept, "read": read.(*Object)} {
			if s := text(t, got.typedContent()); s != want {
				t.Fatalf("%s: %s\nwant %s", name, s, want)
			}
			again, err := k.Encode(got)
			if err != nil || string(again) != string(stored) {
				t.Fatalf("%s is stored otherwise: %s\n%s %v", name, again, stored, err)
			}
			if len(got.rest) > 0 && !within(got.rest, stored) && !strings.Contains(string(stored), "null") {
				t.Fatalf("%s has bytes of its own", name)
			}
		}
		opened := kept.DeepCopyObject().(*Object)
		opened.open()["more"] = "x"
		if text(t, kept.typedContent()) != want {
			t.Fatal("a copy that was changed has changed what it was copied of")
		}
	})
}

func within(part, whole []byte) bool {
	p, w := uintptr(unsafe.Pointer(unsafe.SliceData(part))), uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	return p >= w && p+uintptr(len(part)) <= w+uintptr(len(whole))
}

func text(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadBySchema: what was stored is read by the schema as it is now.
func TestReadBySchema(t *testing.T) {
	t.Parallel()
	k := kind(t, `{type: object, properties: {spec: {type: object, properties: {a: {type: string, default: x}, nul: {type: string, nullable: true}, s: {type: string}}}}}`)
	for stored, want := range map[string]string{
		`{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"b"},"spec":{"old":1}}`:                 `{"spec":{"a":"x"}}`,
		`{"apiVersion":"example.com/v2","kind":"Boat","metadata":{"name":"b"},"spec":{"a":"y"},"z":1}`:           `{"spec":{"a":"y"}}`,
		`{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"b"},"spec":{"a":null,"nul":null}}`:     `{"spec":{"a":"x","nul":null}}`,
		`{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"b"},"spec":{"s":null}}`:                `{"spec":{"a":"x"}}`,
		`{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"b","labels":{"a":1}},"spec":{}}`:       `{"spec":{"a":"x"}}`,
		`{"apiVersion":"example.com/v1","kind":"Boat","metadata":{"name":"b"}}`:                                  `{}`,
		"{\"apiVersion\": \"example.com/v1\",\n \"kind\": \"Boat\", \"metadata\": {}, \"spec\": {\"a\": \"b\"}}": `{"spec":{"a":"b"}}`,
	} {
		o, err := k.Decode([]byte(stored))
		if err != nil {
			t.Errorf("%s: %v", stored, err)
			continue
		}
		if got := text(t, o.(*Object).fields()); got != want {
			t.Errorf("%s was read as %s", stored, got)
		}
		if o.GetGeneration() != 1 && strings.Contains(stored, "name") {
			t.Errorf("%s has the generation %d", stored, o.GetGeneration())
		}
	}
	for _, stored := range []string{``, `[]`, `{}`, `{"apiVersion":"example.com/v9","kind":"Boat"}`, `{"apiVersion":"v1","kind":"Boat"}`, `{"apiVersion":"example.com/v1","kind":"Ship"}`, `{"apiVersion":1}`} {
		if o, err := k.Decode([]byte(stored)); err == nil {
			t.Errorf("%q was read as %v", stored, o)
		}
	}
}

// TestLazy: a kind of which nobody has objects is not compiled.
func TestLazy(t *testing.T) {
	t.Parallel()
	compiled := false
	k := kind(t, anything)
	v := k.storage
	was := v.structural
	v.structural = func() (*structural.Structural, error) { compiled = true; return was() }
	d := k.define()
	d.Fields(d.New())
	for i := range d.Served {
		d.Served[i].Columns()
	}
	if compiled {
		t.Error("the schema was compiled for nothing")
	}
}
