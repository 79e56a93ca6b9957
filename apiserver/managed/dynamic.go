package managed

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"proa/resource"
)

// Forget drops what is known of a dynamic definition that is no longer served.
func (t *Tracker) Forget(d *resource.Definition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.dynamic, d)
}

// dynamicState is state for kinds that were defined at run time: the library
// does all the work, with the types that the definition makes.
func (t *Tracker) dynamicState(m resource.Match, k kindKey) (*state, error) {
	t.mu.RLock()
	s := t.dynamic[m.Definition][k]
	t.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	pod := &corev1.Pod{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	v, err := t.types().ObjectToTyped(pod)
	if err != nil {
		return nil, err
	}
	types, err := m.Dynamic.Types(v.Schema())
	if err != nil {
		return nil, err
	}
	c := dynamicConverter{m}
	fm, err := managedfields.NewDefaultCRDFieldManager(types, c, c, c, k.kind, m.Served.GroupVersion, k.subresource, dynamicReset(m, k.subresource))
	if err != nil {
		return nil, err
	}
	s = &state{library: fm, types: types, version: k.kind.GroupVersion().String(), empty: typed(m.Served.New(), m)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dynamic[m.Definition] == nil {
		t.dynamic[m.Definition] = map[kindKey]*state{}
	}
	t.dynamic[m.Definition][k] = s
	return s, nil
}

// dynamicReset tells the library which fields a write restores, and so does not
// own: the status of the main resource where it has a subresource of its own,
// and all but the status there.
func dynamicReset(m resource.Match, subresource string) map[fieldpath.APIVersion]fieldpath.Filter {
	out := map[fieldpath.APIVersion]fieldpath.Filter{}
	for i := range m.Definition.Served {
		s := &m.Definition.Served[i]
		if s.Updates["status"] == nil {
			continue
		}
		var set *fieldpath.Set
		switch {
		case subresource == "status":
			set = fieldpath.NewSet(fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
		case subresource == "" && s.GroupVersion == m.Served.GroupVersion:
			set = fieldpath.NewSet(fieldpath.MakePathOrDie("status"))
		default:
			continue
		}
		out[fieldpath.APIVersion(s.GroupVersion.String())] = fieldpath.NewExcludeSetFilter(set)
	}
	return out
}

// dynamicConverter gives the library what it needs to know of a kind without a
// Go type.
type dynamicConverter struct{ m resource.Match }

// New implements runtime.ObjectCreater.
func (c dynamicConverter) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(kind)
	return obj, nil
}

// Default implements runtime.ObjectDefaulter. What comes out of an apply is a
// tree, and gets its defaults when an object is made of it.
func (c dynamicConverter) Default(runtime.Object) {}

// content is what an object of a kind without a Go type can be set from.
type content interface {
	resource.Object
	SetContent(tree map[string]any, track bool) (unknown []string, err error)
}

// object makes an object out of a tree, which is copied.
func (c dynamicConverter) object(tree *unstructured.Unstructured) (resource.Object, error) {
	s := c.m.Served
	gv := tree.GroupVersionKind().GroupVersion()
	for i := range c.m.Definition.Served {
		if other := &c.m.Definition.Served[i]; other.GroupVersion == gv {
			s = other
		}
	}
	into, ok := s.New().(content)
	if !ok {
		return nil, fmt.Errorf("a %s cannot be made of a tree", s.Kind)
	}
	if _, err := into.SetContent(tree.DeepCopy().Object, false); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return into, nil
}

// ConvertToVersion implements runtime.ObjectConvertor.
func (c dynamicConverter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	want, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{in.GetObjectKind().GroupVersionKind()})
	if !ok {
		return nil, fmt.Errorf("%T cannot be converted to %s", in, target.Identifier())
	}
	obj, ok := in.(resource.Object)
	if !ok {
		return nil, errors.New("what is no object cannot be converted")
	}
	if tree, isTree := in.(*unstructured.Unstructured); isTree {
		if tree.GroupVersionKind() == want {
			return in, nil
		}
		var err error
		if obj, err = c.object(tree); err != nil {
			return nil, err
		}
	}
	out, err := c.m.Dynamic.To(obj, want.GroupVersion())
	if err != nil {
		return nil, err
	}
	// The record itself is tracked by nobody, and dear to compare.
	out = typed(out, c.m)
	out.SetManagedFields(nil)
	out.GetObjectKind().SetGroupVersionKind(want)
	return out, nil
}

// Convert implements runtime.ObjectConvertor.
func (c dynamicConverter) Convert(in, out, context any) error {
	return fmt.Errorf("conversion from %T to %T is not needed here", in, out)
}

// ConvertFieldLabel implements runtime.ObjectConvertor.
func (c dynamicConverter) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
