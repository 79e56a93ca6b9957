package custom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kjson "sigs.k8s.io/json"

	"proa/resource"
)

// DecodeJSON reads an object that a client has sent, by the schema of its
// version: what the schema does not know is dropped. With strict, duplicate
// fields and those that were dropped are returned.
func (o *Object) DecodeJSON(js []byte, strict bool) (problems []error, err error) {
	tree := map[string]any{}
	if strict {
		problems, err = kjson.UnmarshalStrict(js, &tree)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(js, &tree)
	}
	if err != nil {
		return nil, err
	}
	if kind, _ := tree["kind"].(string); kind == "" {
		return nil, runtime.NewMissingKindErr(string(js))
	}
	unknown, err := o.SetContent(tree, strict)
	if err != nil {
		return nil, err
	}
	for _, f := range unknown {
		problems = append(problems, fmt.Errorf(`unknown field "%s"`, f))
	}
	return problems, nil
}

// SetContent replaces the object by a generic tree, which belongs to it from
// then on: it is coerced to the schema as DecodeJSON does. It returns the paths
// of unknown fields if track is set.
func (o *Object) SetContent(tree map[string]any, track bool) (unknown []string, err error) {
	return o.adopt(tree, coercion{track: track})
}

// coercion says how a tree becomes an object.
type coercion struct {
	// track the paths of what the schema does not know.
	track bool
	// repair what is wrong in metadata of old objects, in place of refusing it.
	repair bool
}

// adopt makes tree the content of the object. The tree's own version decides by
// which schema it is read, if it is of this kind at all.
func (o *Object) adopt(tree map[string]any, c coercion) (unknown []string, err error) {
	kind, _, err := unstructured.NestedString(tree, "kind")
	if err != nil {
		return nil, err
	}
	apiVersion, _, err := unstructured.NestedString(tree, "apiVersion")
	if err != nil {
		return nil, err
	}
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(tree, objectmeta.ObjectMetaOptions{
		DropMalformedFields: c.repair, ReturnUnknownFieldPaths: c.track,
	})
	if err != nil {
		return nil, err
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	k := o.version.kind
	if v := k.versions[gv.Version]; v != nil && gv.Group == k.group && kind == k.names.Kind {
		s, err := v.structural()
		if err != nil {
			return nil, err
		}
		if !k.preserve {
			unknown = append(unknown, prune(tree, s, c.track)...)
		}
		more, err := coerceEmbedded(tree, s, c)
		if err != nil {
			return nil, err
		}
		unknown = append(unknown, more...)
		if c.repair && found && meta.Generation == 0 {
			meta.Generation = 1
		}
	}
	o.APIVersion, o.Kind = apiVersion, kind
	for _, f := range header {
		delete(tree, f)
	}
	if found {
		meta.DeepCopyInto(&o.ObjectMeta)
	}
	o.tree, o.rest = tree, nil
	return unknown, nil
}

func prune(tree map[string]any, s *structural.Structural, track bool) []string {
	dropped := pruning.PruneWithOptions(tree, s, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: track})
	defaulting.PruneNonNullableNullsWithoutDefaults(tree, s)
	return dropped
}

func coerceEmbedded(tree map[string]any, s *structural.Structural, c coercion) ([]string, error) {
	err, unknown := objectmeta.CoerceWithOptions(nil, tree, s, false, objectmeta.CoerceOptions{
		DropInvalidFields: c.repair, ReturnUnknownFieldPaths: c.track,
	})
	if err != nil {
		return nil, err
	}
	return unknown, nil
}

// fill gives an owned object the defaults of its version.
func (v *Version) fill(o *Object) {
	s, err := v.structural()
	if err != nil || s == nil {
		return
	}
	// Defaults inside metadata do not exist, so that the header may be left out.
	defaulting.Default(o.open(), s)
}

// Encode returns the stored form of an object, which is in its storage version:
// one line of JSON. An open object is sealed.
func (k *Kind) Encode(obj resource.Object) ([]byte, error) {
	o := obj.(*Object)
	if err := o.seal(); err != nil {
		return nil, err
	}
	out := *o
	out.APIVersion, out.Kind = o.version.gv.String(), k.names.Kind
	out.ResourceVersion, out.SelfLink = "", ""
	b, err := out.AppendJSON(make([]byte, 0, len(o.rest)+1024))
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil // as upstream's encoder ends
}

// Keep returns a copy of an object as Decode would return it. Its rest lies in
// stored, which is what Encode has made of the object.
func (k *Kind) Keep(obj resource.Object, stored []byte) resource.Object {
	o := *obj.(*Object)
	if o.version.fillsStatus() {
		// A new object is stored without a status, after its defaults were filled in;
		// whoever reads it sees the default status all the same.
		if read, err := k.Decode(stored); err == nil {
			return read
		}
	}
	o.APIVersion, o.Kind = "", ""
	if end := len(stored) - len("}\n"); end >= len(o.rest) {
		o.rest = stored[end-len(o.rest) : end : end]
	}
	return &o
}

// Decode returns the object of stored bytes, of which it remains a part, pruned
// and defaulted by the present schema of the version in which it was stored.
func (k *Kind) Decode(stored []byte) (resource.Object, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(stored, &members); err != nil {
		return nil, err
	}
	var apiVersion, kind string
	if json.Unmarshal(members["apiVersion"], &apiVersion) != nil || json.Unmarshal(members["kind"], &kind) != nil {
		return nil, errors.New("it has no kind")
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	v := k.versions[gv.Version]
	if v == nil || gv.Group != k.group || kind != k.names.Kind {
		return nil, fmt.Errorf("it is a %s of %s, which %s does not define", kind, apiVersion, k.name)
	}
	o := v.New()
	tree := map[string]any{}
	if err := utiljson.Unmarshal(stored, &tree); err != nil {
		return nil, err
	}
	dropped, err := o.adopt(tree, coercion{track: true, repair: true})
	if err != nil {
		return nil, err
	}
	s, err := v.structural()
	if err != nil {
		return nil, err
	}
	o.APIVersion, o.Kind = "", ""
	if len(dropped) == 0 && !v.rewrites() && !hasNull(stored) {
		o.tree, o.rest = nil, join(stored, members)
		return o, nil
	}
	defaulting.Default(o.tree, s)
	return o, o.seal()
}

// hasNull says whether there may be a null, which pruning would have taken away
// without telling.
func hasNull(stored []byte) bool { return bytes.Contains(stored, []byte("null")) }

// join are the members beside the header, as bytes: a part of stored where they
// stand at its end.
func join(stored []byte, members map[string]json.RawMessage) []byte {
	var names []string
	for name := range members {
		if !slices.Contains(header, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var rest []byte
	for i, name := range names {
		if i > 0 {
			rest = append(rest, ',')
		}
		n, _ := json.Marshal(name) // a string always has a form
		rest = append(append(append(rest, n...), ':'), members[name]...)
	}
	if end := bytes.LastIndexByte(stored, '}'); end >= len(rest) && bytes.Equal(stored[end-len(rest):end], rest) {
		return stored[end-len(rest) : end : end]
	}
	return rest
}
