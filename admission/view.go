package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"proa/resource"
)

// View is a write as it reads in one served version: what webhooks and policies
// are shown of it. Its objects may share memory with those of the write, and
// must not be changed. It belongs to one goroutine until all that it computes
// has been computed.
type View struct {
	Kind     schema.GroupVersionKind
	Resource schema.GroupVersionResource
	// Object and Old have their kind set; nil where the write has none.
	Object, Old runtime.Object

	of      *Attributes
	served  *resource.Served
	json    [2]json.RawMessage
	tree    [2]map[string]any
	request map[string]any
}

// Version is the one in which the request came.
func (a *Attributes) Version() *resource.Served {
	if a.Served != nil {
		return a.Served
	}
	return &a.Definition.Served[0]
}

// RequestKind is the kind of the object in the request.
func (a *Attributes) RequestKind() schema.GroupVersionKind {
	if !a.Kind.Empty() {
		return a.Kind
	}
	return a.Version().GroupVersionKind()
}

// RequestResource is the resource of the request.
func (a *Attributes) RequestResource() schema.GroupVersionResource {
	return a.Version().GroupVersion.WithResource(a.Definition.Plural)
}

// ownKind: the object is not one of the definition.
func (a *Attributes) ownKind() bool {
	return !a.Kind.Empty() && a.Kind != a.Version().GroupVersionKind()
}

// In is the write as it reads in a served version.
func (a *Attributes) In(s *resource.Served) (*View, error) {
	v := &View{Resource: s.GroupVersion.WithResource(a.Definition.Plural), Kind: s.GroupVersionKind(), of: a, served: s}
	if a.ownKind() {
		v.Kind = a.Kind
	}
	var err error
	if v.Object, err = v.of.read(a.Object, v); err != nil {
		return nil, err
	}
	v.Old, err = v.of.read(a.Old, v)
	return v, err
}

func (a *Attributes) read(o runtime.Object, v *View) (runtime.Object, error) {
	if o == nil {
		return nil, nil
	}
	if stored, ok := o.(resource.Object); ok && !a.ownKind() {
		var err error
		if o, err = v.served.To(stored); err != nil {
			return nil, fmt.Errorf("convert to %s: %w", v.Kind, err)
		}
	}
	return typed(o, v.Kind), nil
}

// typed is a shallow copy with its kind set.
func typed(o runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	c := reflect.New(reflect.TypeOf(o).Elem())
	c.Elem().Set(reflect.ValueOf(o).Elem())
	out := c.Interface().(runtime.Object)
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}

const (
	object = iota
	old
)

func (v *View) side(which int) runtime.Object {
	if which == object {
		return v.Object
	}
	return v.Old
}

// JSON is the object and the old one as JSON; nil where there is none.
func (v *View) JSON() (obj, was json.RawMessage, err error) {
	for i := range v.json {
		if o := v.side(i); o != nil && v.json[i] == nil {
			if v.json[i], err = json.Marshal(o); err != nil {
				return nil, nil, err
			}
		}
	}
	return v.json[object], v.json[old], nil
}

// Trees are the object and the old one as generic trees; nil where there is
// none. They are shared and must not be changed.
func (v *View) Trees() (obj, was map[string]any, err error) {
	for i := range v.tree {
		if o := v.side(i); o != nil && v.tree[i] == nil {
			if v.tree[i], err = Tree(o); err != nil {
				return nil, nil, err
			}
		}
	}
	return v.tree[object], v.tree[old], nil
}

// Tree is an object as a generic tree.
func Tree(o runtime.Object) (map[string]any, error) {
	if u, ok := o.(interface{ UnstructuredContent() map[string]any }); ok {
		return u.UnstructuredContent(), nil
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(o)
}

// Same reports whether two objects of one type are the same to the API.
func Same(a, b runtime.Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	if _, ok := a.(interface{ UnstructuredContent() map[string]any }); !ok {
		return equality.Semantic.DeepEqual(a, b)
	}
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// Request describes the write without its objects, and without a uid.
func (v *View) Request() *admissionv1.AdmissionRequest {
	a := v.of
	kind, from := metav1.GroupVersionKind(a.RequestKind()), metav1.GroupVersionResource(a.RequestResource())
	dry := a.DryRun
	r := &admissionv1.AdmissionRequest{
		Kind: metav1.GroupVersionKind(v.Kind), Resource: metav1.GroupVersionResource(v.Resource), SubResource: a.Subresource,
		RequestKind: &kind, RequestResource: &from, RequestSubResource: a.Subresource,
		Name: a.Name, Namespace: a.Namespace, Operation: admissionv1.Operation(a.Operation), DryRun: &dry,
	}
	if u := a.User; u != nil {
		r.UserInfo = authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
		for k, values := range u.Extra {
			if r.UserInfo.Extra == nil {
				r.UserInfo.Extra = map[string]authenticationv1.ExtraValue{}
			}
			r.UserInfo.Extra[k] = values
		}
	}
	if o := a.Options; o != nil {
		if o.GetObjectKind().GroupVersionKind().Empty() {
			o = typed(o, metav1.SchemeGroupVersion.WithKind(reflect.TypeOf(o).Elem().Name()))
		}
		r.Options.Object = o
	}
	return r
}

// RequestTree is the request as a generic tree, made once.
func (v *View) RequestTree() (map[string]any, error) {
	if v.request != nil {
		return v.request, nil
	}
	var err error
	v.request, err = runtime.DefaultUnstructuredConverter.ToUnstructured(v.Request())
	return v.request, err
}

// Decode reads an object of the view's kind, and of the type of its object, from
// JSON. If it is strict, there must be no fields that the kind does not have.
func (v *View) Decode(js []byte, strict bool) (runtime.Object, error) {
	var into runtime.Object
	if v.of.ownKind() {
		into = reflect.New(reflect.TypeOf(v.Object).Elem()).Interface().(runtime.Object)
	} else {
		into = v.served.New()
	}
	if !strict {
		if err := kjson.UnmarshalCaseSensitivePreserveInts(js, into); err != nil {
			return nil, err
		}
	} else if unknown, err := kjson.UnmarshalStrict(js, into); err != nil {
		return nil, err
	} else if len(unknown) > 0 {
		return nil, runtime.NewStrictDecodingError(unknown)
	}
	if got := into.GetObjectKind().GroupVersionKind(); got != v.Kind {
		return nil, fmt.Errorf("%s has become %s: a kind cannot be changed", v.Kind, got)
	}
	return into, nil
}

// Definition of the objects, and the version in which they are; the latter does
// not say what Object is where a subresource has a kind of its own.
func (v *View) Definition() (*resource.Definition, *resource.Served) {
	return v.of.Definition, v.served
}

// Put makes the object of the write what has become of the view's, after
// defaulting it.
func (v *View) Put(changed runtime.Object) error {
	if o, ok := changed.(resource.Object); ok && !v.of.ownKind() {
		v.served.Default(o)
		back, err := v.served.From(o)
		if err == nil && v.of.Definition.Dynamic != nil {
			// These are admitted in the version of the request.
			back, err = v.of.Version().To(back)
		}
		if err != nil {
			return fmt.Errorf("convert from %s: %w", v.Kind, err)
		}
		changed = back
	}
	into, from := reflect.ValueOf(v.of.Object), reflect.ValueOf(changed)
	if into.Type() != from.Type() {
		return fmt.Errorf("%s cannot take the place of %s", from.Type(), into.Type())
	}
	into.Elem().Set(from.Elem())
	return nil
}
