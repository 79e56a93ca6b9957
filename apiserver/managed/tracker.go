package managed

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	smd "sigs.k8s.io/structured-merge-diff/v6/typed"

	"proa/resource"
)

// Tracker keeps managed fields for all kinds. Safe for concurrent use.
type Tracker struct {
	types func() managedfields.TypeConverter

	mu     sync.RWMutex
	states map[kindKey]*state
	// dynamic has the states of each dynamic definition by themselves, so that
	// they go with it.
	dynamic map[*resource.Definition]map[kindKey]*state
	sets    sets
}

// state is what is known of one kind and subresource.
type state struct {
	library *managedfields.FieldManager
	// node is the kind compiled, nil where the library does the work.
	node    *node
	version string
	// types merge objects of a dynamic kind, nil for others.
	types managedfields.TypeConverter
	// empty is what there is before a creation. It is shared.
	empty resource.Object
}

type kindKey struct {
	kind        schema.GroupVersionKind
	subresource string
}

// New makes a tracker that gets its schema from types, which is called once,
// in the background.
func New(types func() managedfields.TypeConverter) *Tracker {
	t := &Tracker{types: sync.OnceValue(types), states: map[kindKey]*state{}, dynamic: map[*resource.Definition]map[kindKey]*state{}}
	go t.types()
	return t
}

// Update records in obj what manager has changed against live at the time now.
// live is nil or an empty object at creation; it may be shared. Both are in the
// served version of m. Where the fields cannot be tracked, obj is left without managed
// fields, as upstream does, rather than refusing the write.
func (t *Tracker) Update(m resource.Match, subresource string, live, obj resource.Object, manager string, now metav1.Time) error {
	s, err := t.state(m, subresource)
	if err != nil {
		obj.SetManagedFields(nil)
		return err
	}
	if live == nil {
		live = s.empty
	}
	if t.fast(s, subresource, live, obj, manager, now.Rfc3339Copy()) {
		return nil
	}
	obj.GetObjectKind().SetGroupVersionKind(m.Served.GroupVersionKind())
	if err := s.slow(typed(live, m), obj, manager); err != nil {
		obj.SetManagedFields(nil)
		return fmt.Errorf("managed fields of %s %s/%s were dropped: %w", m.Kind, obj.GetNamespace(), obj.GetName(), err)
	}
	return nil
}

// slow lets the library do the work. It panics on raw bytes that are neither
// JSON nor anything else it knows, which a client may send.
func (s *state) slow(live, obj resource.Object, manager string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("fields cannot be tracked: %v", p)
		}
	}()
	_, err = s.library.Update(live, obj, manager)
	return err
}

// typed is a shallow copy of an object with its kind, which the library looks
// for.
func typed(obj resource.Object, m resource.Match) resource.Object {
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	out := v.Interface().(resource.Object)
	out.GetObjectKind().SetGroupVersionKind(m.Served.GroupVersionKind())
	return out
}

// Apply merges an applied configuration into live (an empty object where there
// is none), both in the served version of m, and returns a new object with
// defaults. Conflicts are API status errors with a cause for each field.
func (t *Tracker) Apply(m resource.Match, subresource string, live resource.Object, config *unstructured.Unstructured, manager string, force bool) (resource.Object, error) {
	s, err := t.state(m, subresource)
	if err != nil {
		return nil, err
	}
	out, err := s.library.Apply(typed(live, m), config, manager, force)
	if err != nil {
		if _, ok := err.(apierrors.APIStatus); ok {
			return nil, err
		}
		// What remains are configurations that do not fit the schema. Upstream
		// has no reason for them.
		return nil, err
	}
	obj, ok := out.(resource.Object)
	if tree, isTree := out.(*unstructured.Unstructured); isTree && m.Dynamic != nil {
		made, err := dynamicConverter{m}.object(tree)
		if err != nil {
			return nil, err
		}
		m.Served.Default(made)
		return made, nil
	}
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("apply made a %T of a %s", out, m.Kind))
	}
	return obj, nil
}

// Types knows how objects of a definition are merged.
func (t *Tracker) Types(m resource.Match) (managedfields.TypeConverter, error) {
	if m.Dynamic == nil {
		return t.types(), nil
	}
	s, err := t.dynamicState(m, kindKey{m.Served.GroupVersionKind(), ""})
	if err != nil {
		return nil, err
	}
	return s.types, nil
}

func (t *Tracker) state(m resource.Match, subresource string) (*state, error) {
	k := kindKey{m.Served.GroupVersionKind(), subresource}
	if m.Dynamic != nil {
		return t.dynamicState(m, k)
	}
	t.mu.RLock()
	s := t.states[k]
	t.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	c := converter{m}
	types := t.types()
	fm, err := managedfields.NewDefaultFieldManager(types, c, c, c, k.kind, k.kind.GroupVersion(), subresource, reset(m, subresource))
	if err != nil {
		return nil, err
	}
	s = &state{library: fm, version: k.kind.GroupVersion().String()}
	empty := typed(m.Served.New(), m)
	s.empty = empty
	if v, err := types.ObjectToTyped(empty, smd.AllowDuplicates); err == nil {
		skip := map[string]bool{}
		for _, f := range restored(m, subresource) {
			skip[f] = true
		}
		s.node = compile(v.Schema(), v.TypeRef(), reflect.TypeOf(empty).Elem(), skip)
	}
	t.mu.Lock()
	t.states[k] = s
	t.mu.Unlock()
	return s, nil
}

// restored are the fields that a write to the subresource never owns, because they
// are restored from the stored object: the status on the main resource, the spec on
// the status, and what the row says.
func restored(m resource.Match, subresource string) []string {
	var fields []string
	switch {
	case subresource == "" && m.Served.Updates["status"] != nil:
		fields = []string{"status"}
	case subresource == "status":
		fields = []string{"spec"}
	}
	if subresource == "" {
		return append(fields, m.Definition.Restored...)
	}
	if u := m.Served.Updates[subresource]; u != nil {
		fields = append(fields, u.Restored...)
	}
	return fields
}

// reset tells the library of the restored fields.
func reset(m resource.Match, subresource string) map[fieldpath.APIVersion]fieldpath.Filter {
	fields := restored(m, subresource)
	if len(fields) == 0 {
		return nil
	}
	set := fieldpath.NewSet()
	for _, f := range fields {
		var path []any
		for _, name := range strings.Split(f, ".") {
			path = append(path, name)
		}
		set.Insert(fieldpath.MakePathOrDie(path...))
	}
	out := map[fieldpath.APIVersion]fieldpath.Filter{}
	for _, s := range m.Definition.Served {
		out[fieldpath.APIVersion(s.GroupVersion.String())] = fieldpath.NewExcludeSetFilter(set)
	}
	return out
}

// converter gives the library what it needs to know of one kind. Objects stay
// in their served version: ownership is recorded in terms of it.
type converter struct{ m resource.Match }

func (c converter) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	obj := c.m.Served.New()
	obj.GetObjectKind().SetGroupVersionKind(kind)
	return obj, nil
}

func (c converter) Default(obj runtime.Object) {
	if o, ok := obj.(resource.Object); ok {
		c.m.Served.Default(o)
	}
}

// ConvertToVersion makes a typed object of the kind out of a tree, and leaves
// typed objects alone unless another served version is asked for.
func (c converter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	want, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{in.GetObjectKind().GroupVersionKind()})
	if !ok {
		return nil, fmt.Errorf("%T cannot be converted to %s", in, target.Identifier())
	}
	obj, ok := in.(resource.Object)
	from := c.served(in.GetObjectKind().GroupVersionKind().GroupVersion())
	to := c.served(want.GroupVersion())
	if from == nil || to == nil {
		return nil, runtime.NewNotRegisteredErrForTarget("resource table", nil, target)
	}
	if tree, isTree := in.(*unstructured.Unstructured); isTree {
		obj = from.New()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tree.Object, obj); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		ok = true
	}
	if !ok {
		return nil, fmt.Errorf("%T is not an object", in)
	}
	if from == to {
		if ok && len(obj.GetManagedFields()) > 0 {
			// The record itself is tracked by nobody, and dear to compare.
			obj = typed(obj, resource.Match{Definition: c.m.Definition, Served: to})
			obj.SetManagedFields(nil)
		}
		return obj, nil
	}
	stored, err := from.From(obj)
	if err != nil {
		return nil, err
	}
	out, err := to.To(stored)
	if err != nil {
		return nil, err
	}
	out.GetObjectKind().SetGroupVersionKind(to.GroupVersionKind())
	return out, nil
}

func (c converter) served(gv schema.GroupVersion) *resource.Served {
	for i := range c.m.Definition.Served {
		if s := &c.m.Definition.Served[i]; s.GroupVersion == gv {
			return s
		}
	}
	return nil
}

func (c converter) Convert(in, out, context any) error {
	return fmt.Errorf("conversion from %T to %T is not needed here", in, out)
}

func (c converter) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Manager is the name under which changes are recorded: the fieldManager
// parameter, or else what the User-Agent begins with.
func Manager(fieldManager, userAgent string) string {
	if fieldManager != "" {
		return fieldManager
	}
	name, _, _ := strings.Cut(userAgent, "/")
	var b strings.Builder
	for _, r := range name {
		if !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > validation.FieldManagerMaxLength {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Valid reports whether managed fields sent by a client can be read.
func Valid(entries []metav1.ManagedFieldsEntry) error {
	return managedfields.ValidateManagedFields(entries)
}
