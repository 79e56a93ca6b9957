package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// AllVerbs are the verbs of a resource that has no reason to serve fewer, in
// the order in which discovery lists them.
var AllVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

// Definition is a row without its type parameter: what the machinery works on.
// It is immutable after Define, and its hooks are never nil, but for Order. Objects passed to
// a hook must be of the row's stored type.
type Definition struct {
	Storage       schema.GroupVersion
	Kind          string
	Plural        string
	Singular      string
	ShortNames    []string
	Categories    []string
	ClusterScoped bool
	Prefix        string
	StoredAsJSON  bool
	CleanUp       string
	AnyFinalizer  bool
	Restored      []string
	Verbs         []string
	Virtual       bool

	// Served lists the versions in which the objects are served. The first is
	// the storage version. Former are only read from the store.
	Served []Served
	Former []Served

	CreateOnUpdate         bool
	Settled                bool
	RequireResourceVersion bool
	OrphanByDefault        bool
	ReturnDeleted          bool
	HasGraceful            bool
	// HasGeneration: metadata.generation counts the changes of the spec.
	HasGeneration bool
	Connects      []Connect
	Indexed       []string
	Columns       []metav1.TableColumnDefinition

	New            func() Object
	NewList        func() runtime.Object
	ValidateName   func(name string, prefix bool) []string
	PrepareCreate  func(req *Request, obj Object)
	PrepareUpdate  func(req *Request, obj, old Object)
	Validate       func(obj Object) field.ErrorList
	ValidateUpdate func(obj, old Object) field.ErrorList
	Warnings       func(obj, old Object) []string
	Default        func(obj Object)
	Graceful       func(obj Object, opts *metav1.DeleteOptions) int64
	Keep           func(obj Object) (why string)
	MarkDeleted    func(req *Request, obj Object)
	Held           func(obj Object) bool
	TTL            func(obj Object) time.Duration
	Fields         func(obj Object) map[string]string
	Cells          func(obj Object, now time.Time) []any
	RowConditions  func(obj Object) []metav1.TableRowCondition
	// Order sorts the rows of a table. It is nil for most.
	Order func(a, b Object) int
	// Updates by subresource name.
	Updates map[string]*UpdateHooks
	// Scale is nil for resources without a scale subresource.
	Scale *ScaleHooks

	// Dynamic is nil for kinds that have a Go type.
	Dynamic *Dynamic
}

// UpdateHooks is an [Update] without its type parameter.
type UpdateHooks struct {
	Restored       []string
	Verbs          []string
	PrepareUpdate  func(req *Request, obj, old Object)
	ValidateUpdate func(obj, old Object) field.ErrorList
	Warnings       func(obj, old Object) []string
}

// ScaleHooks is a [Scale] without its type parameter.
type ScaleHooks struct {
	// Get fails where a dynamic object has something else in the place of a
	// count. It returns a scale without a count (found is false) where there is
	// none.
	Get          func(obj Object) (s *autoscalingv1.Scale, found bool, err error)
	Set          func(obj Object, replicas int32) error
	ReplicasPath []string
}

// Served is one version in which the objects of a definition are served.
type Served struct {
	GroupVersion schema.GroupVersion
	Kind         string
	// ListKind is the kind of lists.
	ListKind string
	// Storage: this is the stored version, and To and From return their
	// argument.
	Storage bool
	// Deprecated is the warning that every request gets, empty for most.
	Deprecated string
	New        func() Object
	NewList    func() runtime.Object
	Default    func(obj Object)
	To         func(stored Object) (Object, error)
	From       func(served Object) (Object, error)
	Validate   func(obj, old Object) field.ErrorList
	Fields     func(stored Object) map[string]string

	// What the objects show and offer in this version. For kinds that have a Go
	// type it is the same in all, and Cells prints stored objects; dynamic ones
	// are printed as served.
	Columns func() []metav1.TableColumnDefinition
	Cells   func(obj Object, now time.Time) []any
	Updates map[string]*UpdateHooks
	Scale   *ScaleHooks
}

// GroupVersionKind of the objects as served in this version.
func (s *Served) GroupVersionKind() schema.GroupVersionKind {
	return s.GroupVersion.WithKind(s.Kind)
}

// GroupResource is the name of the resource without a version, in its storage
// group.
func (d *Definition) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: d.Storage.Group, Resource: d.Plural}
}

// GroupVersionKind of the stored objects.
func (d *Definition) GroupVersionKind() schema.GroupVersionKind {
	return d.Storage.WithKind(d.Kind)
}

// Has reports whether the main resource serves a verb.
func (d *Definition) Has(verb string) bool { return slices.Contains(d.Verbs, verb) }

// HasSubresource reports whether objects have the named part.
func (d *Definition) HasSubresource(name string) bool {
	if d.Updates[name] != nil || name == "scale" && d.Scale != nil {
		return true
	}
	return slices.ContainsFunc(d.Connects, func(c Connect) bool { return c.Name == name })
}

// Root is the storage key under which all objects of the resource lie. It ends
// in a slash.
func (d *Definition) Root() string { return "/registry/" + d.Prefix + "/" }

// Key is the storage key of an object. The namespace is ignored for cluster
// scoped resources. Name and namespace must have been validated as path
// segments.
func (d *Definition) Key(namespace, name string) string {
	if d.ClusterScoped {
		return d.Root() + name
	}
	return d.Root() + namespace + "/" + name
}

// Define completes a row and forgets its type. It panics on a row that
// contradicts itself, since that is a mistake in the table.
func (r Row[T]) Define() *Definition {
	d := &Definition{
		Storage: r.Storage, Kind: r.Kind, Plural: r.Plural, Singular: r.Singular,
		ShortNames: r.ShortNames, Categories: r.Categories, ClusterScoped: r.ClusterScoped,
		Prefix: r.Prefix, StoredAsJSON: r.StoredAsJSON, CleanUp: r.CleanUp, AnyFinalizer: r.AnyFinalizer, Restored: r.Restored, Verbs: r.Verbs, Virtual: r.Virtual,
		CreateOnUpdate: r.CreateOnUpdate, Settled: r.Settled, RequireResourceVersion: r.RequireResourceVersion,
		OrphanByDefault: r.OrphanByDefault, ReturnDeleted: r.ReturnDeleted, HasGraceful: r.Graceful != nil, HasGeneration: r.Spec != nil,
		Connects: r.Connects, Indexed: r.Indexed, Columns: r.Columns,
		ValidateName: r.ValidateName,
		NewList:      r.NewList,
		Updates:      map[string]*UpdateHooks{},
	}
	if d.Kind == "" || d.Plural == "" || r.New == nil || (!r.Virtual && (r.ValidateName == nil || r.NewList == nil)) {
		panic(fmt.Sprintf("resource: row %s/%s lacks its kind, plural, constructors or name check", r.Storage, r.Plural))
	}
	if d.Singular == "" {
		d.Singular = strings.ToLower(d.Kind)
	}
	if d.Prefix == "" {
		d.Prefix = d.Plural
	}
	if d.Verbs == nil {
		d.Verbs = AllVerbs
		if r.Virtual {
			d.Verbs = []string{"create"}
		}
	}
	d.New = func() Object { return r.New() }
	d.Default = erase1(r.Default)
	d.PrepareCreate = erasePrepareCreate(r.PrepareCreate, r.Spec != nil)
	d.PrepareUpdate = erasePrepareUpdate(r.PrepareUpdate, r.Spec)
	d.Validate = func(o Object) field.ErrorList {
		if r.Validate == nil {
			return nil
		}
		return r.Validate(o.(T))
	}
	d.ValidateUpdate = eraseCheck(r.ValidateUpdate)
	d.Warnings = eraseWarnings(r.Warnings)
	d.Graceful = func(o Object, opts *metav1.DeleteOptions) int64 {
		if r.Graceful == nil {
			return 0
		}
		return r.Graceful(o.(T), opts)
	}
	d.Keep = func(o Object) string {
		if r.Keep == nil {
			return ""
		}
		return r.Keep(o.(T))
	}
	d.MarkDeleted = func(req *Request, o Object) {
		if r.MarkDeleted != nil {
			r.MarkDeleted(req, o.(T))
		}
	}
	d.Held = func(o Object) bool { return r.Held != nil && r.Held(o.(T)) }
	d.TTL = func(o Object) time.Duration {
		if r.TTL == nil {
			return 0
		}
		return r.TTL(o.(T))
	}
	d.Fields = func(o Object) map[string]string {
		if r.Fields == nil {
			return nil
		}
		return r.Fields(o.(T))
	}
	d.Cells = func(o Object, now time.Time) []any {
		if r.Cells == nil {
			return nil
		}
		return r.Cells(o.(T), now)
	}
	d.RowConditions = func(o Object) []metav1.TableRowCondition {
		if r.RowConditions == nil {
			return nil
		}
		return r.RowConditions(o.(T))
	}
	if r.Order != nil {
		d.Order = func(a, b Object) int { return r.Order(a.(T), b.(T)) }
	}
	for name, u := range r.Updates {
		verbs := u.Verbs
		if verbs == nil {
			verbs = []string{"get", "patch", "update"}
		}
		spec := r.Spec
		if name == "status" {
			// A report about the object never counts as a change of what is
			// wanted, whatever else Spec compares (annotations, in Deployments).
			spec = nil
		}
		d.Updates[name] = &UpdateHooks{
			Restored:       u.Restored,
			Verbs:          verbs,
			PrepareUpdate:  erasePrepareUpdate(u.PrepareUpdate, spec),
			ValidateUpdate: eraseCheck(u.ValidateUpdate),
			Warnings:       eraseWarnings(u.Warnings),
		}
	}
	if s := r.Scale; s != nil {
		d.Scale = &ScaleHooks{
			Get:          func(o Object) (*autoscalingv1.Scale, bool, error) { return s.Get(o.(T)), true, nil },
			Set:          func(o Object, n int32) error { s.Set(o.(T), n); return nil },
			ReplicasPath: s.ReplicasPath,
		}
	}
	same := func(o Object) (Object, error) { return o, nil }
	none := func(_, _ Object) field.ErrorList { return nil }
	d.Served = []Served{{
		GroupVersion: r.Storage, Kind: r.Kind, Storage: true, New: d.New, NewList: r.NewList,
		Default: d.Default, To: same, From: same, Validate: none, Fields: d.Fields,
	}}
	for _, v := range r.Also {
		d.Served = append(d.Served, eraseVersion(d, v))
	}
	for _, v := range r.Former {
		d.Former = append(d.Former, eraseVersion(d, v))
	}
	for i := range d.Served {
		s := &d.Served[i]
		s.Deprecated = deprecation(s.GroupVersionKind(), s.New())
		s.ListKind = s.Kind + "List"
		s.Columns = func() []metav1.TableColumnDefinition { return d.Columns }
		s.Cells, s.Updates, s.Scale = d.Cells, d.Updates, d.Scale
	}
	return d
}

func eraseVersion[T Object](d *Definition, v Version[T]) Served {
	s := Served{
		GroupVersion: v.GroupVersion, Kind: v.Kind, New: v.New, NewList: v.NewList,
		Default: v.Default, Validate: v.Validate, Fields: d.Fields,
		To:   func(o Object) (Object, error) { return v.To(o.(T)) },
		From: func(o Object) (Object, error) { return v.From(o) },
	}
	if s.Kind == "" {
		s.Kind = d.Kind
	}
	if s.Default == nil {
		s.Default = func(Object) {}
	}
	if s.Validate == nil {
		s.Validate = func(_, _ Object) field.ErrorList { return nil }
	}
	if v.Fields != nil {
		s.Fields = func(o Object) map[string]string { return v.Fields(o.(T)) }
	}
	return s
}

func erase1[T Object](f func(T)) func(Object) {
	if f == nil {
		return func(Object) {}
	}
	return func(o Object) { f(o.(T)) }
}

func erasePrepareCreate[T Object](f func(*Request, T), generation bool) func(*Request, Object) {
	return func(req *Request, o Object) {
		if generation {
			o.SetGeneration(1)
		}
		if f != nil {
			f(req, o.(T))
		}
	}
}

// erasePrepareUpdate also raises the generation where the spec has changed;
// nothing else may set it.
func erasePrepareUpdate[T Object](f func(*Request, T, T), spec func(T) any) func(*Request, Object, Object) {
	return func(req *Request, o, old Object) {
		if f != nil {
			f(req, o.(T), old.(T))
		}
		g := old.GetGeneration()
		if spec != nil && !check.Equal(spec(o.(T)), spec(old.(T))) {
			g++
		}
		o.SetGeneration(g)
	}
}

func eraseCheck[T Object](f func(obj, old T) field.ErrorList) func(obj, old Object) field.ErrorList {
	return func(o, old Object) field.ErrorList {
		if f == nil {
			return nil
		}
		return f(o.(T), old.(T))
	}
}

func eraseWarnings[T Object](f func(obj, old T) []string) func(obj, old Object) []string {
	return func(o, old Object) []string {
		if f == nil {
			return nil
		}
		var was T
		if old != nil {
			was = old.(T)
		}
		return f(o.(T), was)
	}
}

// deprecation says in upstream's words that a kind is on its way out, as
// k8s.io/api declares it in its types.
func deprecation(gvk schema.GroupVersionKind, obj Object) string {
	d, ok := obj.(interface {
		APILifecycleDeprecated() (major, minor int)
	})
	if !ok {
		return ""
	}
	major, minor := d.APILifecycleDeprecated()
	w := fmt.Sprintf("%s %s is deprecated in v%d.%d+", gvk.GroupVersion(), gvk.Kind, major, minor)
	if r, ok := obj.(interface {
		APILifecycleRemoved() (major, minor int)
	}); ok {
		major, minor := r.APILifecycleRemoved()
		w += fmt.Sprintf(", unavailable in v%d.%d+", major, minor)
	}
	if r, ok := obj.(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); ok {
		use := r.APILifecycleReplacement()
		w += fmt.Sprintf("; use %s %s", use.GroupVersion(), use.Kind)
	}
	return w
}
