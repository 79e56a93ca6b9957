package resource

import (
	"sync/atomic"

	apischema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// Dynamic is what the machinery has to be told of a kind that was defined at
// run time, where it would otherwise look at the Go type.
//
// Such objects know in which version they are. They go through a request in
// the version that was asked for, so that its rules apply to them, and are
// converted when they are stored; none of [Definition.Served] is marked as the
// stored one. Objects that were stored before the storage version was changed
// are still in their former version.
type Dynamic struct {
	// Retired is set when the definition is taken out of the table. Requests that
	// still work with it then go on with what has replaced it.
	Retired atomic.Bool
	// ToStorage returns an object in the version in which it is to be stored.
	// It may ask a webhook, and fail.
	ToStorage func(obj Object) (Object, error)
	// Refuse says why objects cannot be created at present, or nothing where
	// they can. It is asked after the table was brought up to date.
	Refuse func() (why string)
	// Types makes the converter by which fields are tracked and configurations
	// applied. Base has the types of metadata.
	Types func(base *schema.Schema) (managedfields.TypeConverter, error)
	// OpenAPI describes the objects of a served version, and lists of them. In
	// references, types of metadata are named as k8s.io/apimachinery names them.
	OpenAPI func(s *Served, ref string, v2 bool) (obj, list *spec.Schema)
	// To returns an object in a version that the kind has, served or not, or an
	// error that runtime.IsNotRegisteredError recognises.
	To func(obj Object, gv apischema.GroupVersion) (Object, error)
	// Encode returns the stored form of an object, and Decode an object of it.
	// Keep returns a copy of an object as Decode would return it; stored is what
	// Encode has made of it.
	Encode func(obj Object) ([]byte, error)
	Decode func(stored []byte) (Object, error)
	Keep   func(obj Object, stored []byte) Object
}
