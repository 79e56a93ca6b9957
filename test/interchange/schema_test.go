package interchange

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// generator makes values, valid ones and others, by the schemas of one document.
type generator struct {
	schemas map[string]*spec.Schema
	rand    *rand.Rand
}

func newGenerator(document []byte, random *rand.Rand) (*generator, error) {
	var doc spec3.OpenAPI
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	return &generator{doc.Components.Schemas, random}, nil
}

// kind finds the schema of a kind, or nil.
func (g *generator) kind(group, version, kind string) *spec.Schema {
	for _, s := range g.schemas {
		ids, _ := s.Extensions["x-kubernetes-group-version-kind"].([]any)
		for _, id := range ids {
			if m, ok := id.(map[string]any); ok && m["group"] == group && m["version"] == version && m["kind"] == kind {
				return s
			}
		}
	}
	return nil
}

// resolve follows references. The name is that of the last one.
func (g *generator) resolve(s *spec.Schema) (name string, _ *spec.Schema) {
	for {
		ref := s.Ref.String()
		if ref == "" && len(s.AllOf) == 1 {
			ref = s.AllOf[0].Ref.String()
		}
		if ref == "" {
			return name, s
		}
		name = ref[strings.LastIndexByte(ref, '/')+1:]
		next := g.schemas[name]
		if next == nil {
			return name, s
		}
		s = next
	}
}

func pick[T any](g *generator, of []T) T { return of[g.rand.IntN(len(of))] }

// Values that are at the edges of what fields take.
var (
	words = []string{
		"", "a", "b", "A", "a-b", "a.b", "a_b", "-a", "a b", "a/b", "example.com/a", "kubernetes.io/a", "1", "80", "http", "0", "é",
		"10.0.0.1", "10.0.0.0/8", "010.0.0.1", "fd00::1", "::ffff:1.2.3.4", "/a", "/a/../b", "../a", "..", "*", "https://a.example/b", "default",
		"Always", "Never", "None", "Local", "Cluster", "TCP", "UDP", "In", "Exists", "NoSchedule", "Delete", "Retain", "Linux", "$(A)", "{}",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a.", 126) + "a", strings.Repeat("a", 254), "true", "1h", "system:a", "a=b", "a:b",
	}
	keys       = []string{"a", "b", "app", "example.com/a", "cpu", "memory", "pods", "requests.cpu", "-", "", "a b", "storage", "hugepages-2Mi", strings.Repeat("k", 64)}
	quantities = []any{"1", "100m", "-1", "0", "1Gi", "1e3", "0.0001", "1.5", "2Mi", "10", "x", "", 1}
	intOrWord  = []any{0, 1, 80, 65536, -1, "http", "25%", "101%", "-1%", "150", "", "a-very-long-port-name"}
	integers   = []int64{0, 1, 2, -1, 3, 10, 100, 1000, 65535, 65536, 2147483647, -2147483648}
	times      = []any{"2024-01-02T03:04:05Z", "2999-01-02T03:04:05Z", "2024-01-02T03:04:05.123456Z", "yesterday", ""}
)

// depthOf bounds what is generated below a field.
const depthOf = 5

// value generates one that has the form of the schema, mostly.
func (g *generator) value(s *spec.Schema, depth int) any {
	name, s := g.resolve(s)
	switch {
	case strings.HasSuffix(name, ".Quantity"):
		return pick(g, quantities)
	case strings.HasSuffix(name, ".IntOrString"):
		return pick(g, intOrWord)
	case strings.HasSuffix(name, ".FieldsV1"), strings.HasSuffix(name, ".RawExtension"):
		return map[string]any{}
	}
	switch {
	case s.Format == "int-or-string":
		return pick(g, intOrWord)
	case len(s.Enum) > 0 && g.rand.IntN(4) > 0:
		return pick(g, s.Enum)
	case s.Type.Contains("string") && (s.Format == "date-time" || strings.HasSuffix(name, "Time")):
		return pick(g, times)
	case s.Type.Contains("string") && s.Format == "byte":
		return pick(g, []any{"YQ==", "", "!", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="})
	case s.Type.Contains("string"):
		return pick(g, words)
	case s.Type.Contains("integer"):
		return pick(g, integers)
	case s.Type.Contains("number"):
		return pick(g, []any{0, 1.5, -1})
	case s.Type.Contains("boolean"):
		return g.rand.IntN(2) == 0
	case s.Type.Contains("array") && s.Items != nil && s.Items.Schema != nil:
		list := []any{}
		for range g.rand.IntN(3) {
			if depth > 0 {
				list = append(list, g.value(s.Items.Schema, depth-1))
			}
		}
		return list
	case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		m := map[string]any{}
		for range g.rand.IntN(3) {
			m[pick(g, keys)] = g.value(s.AdditionalProperties.Schema, depth-1)
		}
		return m
	}
	m := map[string]any{}
	for _, field := range sorted(s.Properties) {
		if depth > 0 && (slices.Contains(s.Required, field) || g.rand.IntN(max(len(s.Properties), 2)) == 0) {
			p := s.Properties[field]
			m[field] = g.value(&p, depth-1)
		}
	}
	return m
}

// site is a place in an object that can be changed.
type site struct {
	path   string
	schema *spec.Schema
	// set puts a value there; nil takes away what is there. here is what is.
	set  func(v any)
	here any
}

// sites lists the places of an object: what is there, and what could be.
func (g *generator) sites(path string, s *spec.Schema, v any) []site {
	var found []site
	_, s = g.resolve(s)
	switch v := v.(type) {
	case map[string]any:
		child := func(key string, of *spec.Schema) {
			at := path + "." + key
			if untouched[at] {
				return
			}
			if at != ".metadata" {
				found = append(found, site{at, of, func(n any) {
					if n == nil {
						delete(v, key)
					} else {
						v[key] = n
					}
				}, v[key]})
			}
			if v[key] != nil {
				found = append(found, g.sites(at, of, v[key])...)
			}
		}
		for _, key := range sorted(s.Properties) {
			p := s.Properties[key]
			child(key, &p)
		}
		if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
			for _, key := range append(sorted(v), pick(g, keys)) {
				child(key, s.AdditionalProperties.Schema)
			}
		}
	case []any:
		if s.Items == nil || s.Items.Schema == nil {
			break
		}
		for i := range v {
			at := path + "[]"
			found = append(found, site{at, s.Items.Schema, func(n any) { v[i] = n }, v[i]})
			found = append(found, g.sites(at, s.Items.Schema, v[i])...)
		}
	}
	return found
}

// untouched is what both servers set by themselves, or what says what an object is.
var untouched = map[string]bool{
	".apiVersion": true, ".kind": true, ".metadata.managedFields": true, ".metadata.uid": true, ".metadata.resourceVersion": true,
	".metadata.creationTimestamp": true, ".metadata.generateName": true, ".metadata.selfLink": true, ".metadata.namespace": true,
	".metadata.deletionTimestamp": true, ".metadata.deletionGracePeriodSeconds": true,
}

// mutate changes an object in a few places, and returns them.
func (g *generator) mutate(s *spec.Schema, obj map[string]any) []string {
	var where []string
	for range 1 + g.rand.IntN(3) {
		all := g.sites("", s, obj)
		at := pick(g, all)
		where = append(where, at.path)
		switch list, isList := at.here.([]any); {
		case at.here != nil && g.rand.IntN(5) == 0:
			at.set(nil)
		case isList && len(list) > 0 && g.rand.IntN(3) == 0:
			at.set(append(slices.Clone(list), clone(pick(g, list))))
		default:
			at.set(g.value(at.schema, depthOf))
		}
	}
	return where
}

func clone(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
