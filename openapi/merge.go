package openapi

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// mergeSchema is the schema of server-side apply, by the same names of types.
type mergeSchema struct {
	types map[string]map[string]schema.StructField
}

// newMergeSchema takes the schema out of a converter: every typed object
// carries the whole.
func newMergeSchema(types managedfields.TypeConverter, sample runtime.Object) (*mergeSchema, error) {
	v, err := types.ObjectToTyped(sample)
	if err != nil {
		return nil, err
	}
	m := &mergeSchema{types: map[string]map[string]schema.StructField{}}
	for _, t := range v.Schema().Types {
		if t.Map == nil {
			continue
		}
		fields := make(map[string]schema.StructField, len(t.Map.Fields))
		for _, f := range t.Map.Fields {
			fields[f.Name] = f
		}
		m.types[t.Name] = fields
	}
	return m, nil
}

// field adds to a property how it is merged, and its default.
func (m *mergeSchema) field(p *spec.Schema, typeName, field string) {
	f, ok := m.types[typeName][field]
	if !ok {
		return
	}
	if f.Default != nil {
		p.Default = f.Default
	}
	if l := f.Type.Inlined.List; l != nil {
		switch {
		case l.ElementRelationship == schema.Atomic:
			p.AddExtension("x-kubernetes-list-type", "atomic")
		case len(l.Keys) > 0:
			p.AddExtension("x-kubernetes-list-type", "map")
			keys := make([]any, len(l.Keys))
			for i, k := range l.Keys {
				keys[i] = k
			}
			p.AddExtension("x-kubernetes-list-map-keys", keys)
		default:
			p.AddExtension("x-kubernetes-list-type", "set")
		}
	}
	if mp := f.Type.Inlined.Map; mp != nil && mp.ElementRelationship == schema.Atomic {
		p.AddExtension("x-kubernetes-map-type", "atomic")
	}
}

// atomicTypes are replaced as a whole wherever they stand.
var atomicTypes = map[string]bool{
	"io.k8s.api.core.v1.ConfigMapKeySelector": true, "io.k8s.api.core.v1.SecretKeySelector": true,
	"io.k8s.api.core.v1.ObjectFieldSelector": true, "io.k8s.api.core.v1.ResourceFieldSelector": true,
	"io.k8s.api.core.v1.LocalObjectReference": true, "io.k8s.api.core.v1.ObjectReference": true,
	"io.k8s.api.core.v1.TypedLocalObjectReference": true, "io.k8s.api.core.v1.SecretReference": true,
	"io.k8s.api.core.v1.NodeSelector": true, "io.k8s.api.core.v1.NodeSelectorTerm": true,
	"io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector":  true,
	"io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference": true,
}

// describe marks a type that is replaced as a whole.
func (m *mergeSchema) describe(out *spec.Schema, typeName string) {
	if atomicTypes[typeName] {
		out.AddExtension("x-kubernetes-map-type", "atomic")
	}
}
