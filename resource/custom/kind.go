package custom

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/resource"
)

// Kind is what a CRD defines. It is immutable but for whether it is going away.
type Kind struct {
	crd   *apiextensionsv1.CustomResourceDefinition
	name  string // of the CRD
	group string
	// names are those that were accepted.
	names    apiextensionsv1.CustomResourceDefinitionNames
	preserve bool // of a CRD from before schemas were required
	versions map[string]*Version
	storage  *Version
	caller   Caller

	converter struct {
		sync.Mutex
		made managedfields.TypeConverter
	}
	terminating atomic.Bool
}

// New makes the definition of an established CRD, which must not be changed
// afterwards. Caller asks the webhook of a conversion, and may be nil.
func New(crd *apiextensionsv1.CustomResourceDefinition, caller Caller) (*Kind, *resource.Definition, error) {
	k := &Kind{
		crd: crd, name: crd.Name, group: crd.Spec.Group, names: crd.Status.AcceptedNames,
		preserve: crd.Spec.PreserveUnknownFields, versions: map[string]*Version{}, caller: caller,
	}
	for i := range crd.Spec.Versions {
		v := newVersion(k, &crd.Spec.Versions[i])
		k.versions[v.spec.Name] = v
		if v.spec.Storage {
			k.storage = v
		}
	}
	switch {
	case k.storage == nil:
		return nil, nil, fmt.Errorf("%s has no storage version", crd.Name)
	case k.names.Plural == "" || k.names.Singular == "" || k.names.Kind == "" || k.names.ListKind == "":
		return nil, nil, fmt.Errorf("%s has no accepted names", crd.Name)
	}
	return k, k.define(), nil
}

// SetTerminating says whether the CRD is being deleted: then nothing new can be
// created. Safe for concurrent use.
func (k *Kind) SetTerminating(yes bool) { k.terminating.Store(yes) }

func (k *Kind) refuse() string {
	if k.terminating.Load() {
		return "create not allowed while custom resource definition is terminating"
	}
	return ""
}

func (k *Kind) define() *resource.Definition {
	none := func(resource.Object) string { return "" }
	d := &resource.Definition{
		Storage: k.storage.gv, Kind: k.names.Kind, Plural: k.names.Plural, Singular: k.names.Singular,
		ShortNames: k.names.ShortNames, Categories: k.names.Categories,
		ClusterScoped: k.crd.Spec.Scope == apiextensionsv1.ClusterScoped,
		Prefix:        k.group + "/" + k.names.Plural,
		Verbs:         verbs, AnyFinalizer: true, RequireResourceVersion: true, HasGeneration: true,
		New:            func() resource.Object { return k.storage.New() },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		PrepareCreate:  prepareCreate,
		PrepareUpdate:  prepareUpdate,
		Validate:       validateCreate,
		ValidateUpdate: validateUpdate,
		Warnings:       warnings,
		Default:        fill,
		Graceful:       func(resource.Object, *metav1.DeleteOptions) int64 { return 0 },
		Keep:           none,
		MarkDeleted:    func(*resource.Request, resource.Object) {},
		Held:           func(resource.Object) bool { return false },
		TTL:            func(resource.Object) time.Duration { return 0 },
		Fields:         k.storage.fieldsOf,
		Cells:          cells,
		RowConditions:  func(resource.Object) []metav1.TableRowCondition { return nil },
		Updates:        map[string]*resource.UpdateHooks{},
		Dynamic: &resource.Dynamic{
			Refuse: k.refuse,
			To:     k.to,
			ToStorage: func(obj resource.Object) (resource.Object, error) {
				return k.convert(obj.(*Object), k.storage)
			},
			Types: k.types,
			OpenAPI: func(s *resource.Served, ref string, v2 bool) (obj, list *spec.Schema) {
				return k.versions[s.GroupVersion.Version].openAPI(ref, v2)
			},
			Encode: k.Encode, Decode: k.Decode, Keep: k.Keep,
		},
	}
	for _, v := range k.crd.Spec.Versions {
		if !v.Served {
			continue
		}
		s := k.served(k.versions[v.Name])
		d.Served = append(d.Served, s)
		for name, hooks := range s.Updates {
			d.Updates[name] = hooks
		}
		if s.Scale != nil {
			d.Scale = s.Scale
		}
	}
	// The one in which objects are stored comes first.
	slices.SortStableFunc(d.Served, func(a, b resource.Served) int {
		return order(a.GroupVersion == k.storage.gv, b.GroupVersion == k.storage.gv)
	})
	return d
}

// verbs of custom resources, in the order in which discovery lists them.
var verbs = []string{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func (k *Kind) served(v *Version) resource.Served {
	s := resource.Served{
		GroupVersion: v.gv, Kind: k.names.Kind, ListKind: k.names.ListKind, Deprecated: k.deprecated(v),
		New:     func() resource.Object { return v.New() },
		Default: fill,
		To: func(obj resource.Object) (resource.Object, error) {
			o, err := v.of(obj)
			if err != nil {
				return nil, err
			}
			return o, nil
		},
		From:     func(obj resource.Object) (resource.Object, error) { return obj, nil },
		Validate: func(_, _ resource.Object) field.ErrorList { return nil },
		Fields:   v.fieldsOf,
		Columns:  func() []metav1.TableColumnDefinition { return v.columns().headers },
		Cells:    cells,
		Updates:  map[string]*resource.UpdateHooks{},
		Scale:    v.scaleHooks(),
	}
	if v.hasStatus() {
		s.Updates["status"] = &resource.UpdateHooks{
			Verbs:          []string{"get", "patch", "update"},
			PrepareUpdate:  prepareStatus,
			ValidateUpdate: validateStatus,
			Warnings:       func(_, _ resource.Object) []string { return nil },
		}
	}
	return s
}

// to implements resource.Dynamic.To.
func (k *Kind) to(obj resource.Object, gv schema.GroupVersion) (resource.Object, error) {
	v := k.versions[gv.Version]
	if v == nil || gv.Group != k.group {
		return nil, runtime.NewNotRegisteredErrForKind(k.name, gv.WithKind(k.names.Kind))
	}
	if o := obj.(*Object); o.version != v && !k.asks() {
		// Ownership is compared with what another schema does not know still there.
		return k.called(o, v), nil
	}
	o, err := v.of(obj)
	if err != nil {
		return nil, err
	}
	return o, nil
}

func fill(obj resource.Object) {
	o := obj.(*Object)
	o.version.fill(o)
}

func cells(obj resource.Object, now time.Time) []any {
	o := obj.(*Object)
	return o.version.columns().cells(o, now)
}

// deprecated is the warning of a deprecated version: its own, or one that names
// the newest that is not.
func (k *Kind) deprecated(v *Version) string {
	switch {
	case !v.spec.Deprecated:
		return ""
	case v.spec.DeprecationWarning != nil:
		return *v.spec.DeprecationWarning
	}
	text := fmt.Sprintf("%s %s is deprecated", v.gv, k.names.Kind)
	best := ""
	for _, o := range k.crd.Spec.Versions {
		newer := version.CompareKubeAwareVersionStrings(v.spec.Name, o.Name) < 0
		if o.Served && !o.Deprecated && newer && (best == "" || version.CompareKubeAwareVersionStrings(best, o.Name) < 0) {
			best = o.Name
		}
	}
	if best != "" {
		text += fmt.Sprintf("; use %s %s", schema.GroupVersion{Group: k.group, Version: best}, k.names.Kind)
	}
	return text
}

// modelName is how documents call a kind: its group backwards, version, kind.
func (v *Version) modelName(kind string) string {
	parts := strings.Split(v.gv.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, v.gv.Version, kind), ".")
}
