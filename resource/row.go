package resource

import (
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/auth"
)

// Object is what every resource stores: a Go struct of k8s.io/api with object
// metadata, by pointer.
type Object interface {
	runtime.Object
	metav1.Object
}

// Request is what a hook may know of the request that it serves.
type Request struct {
	// Now is the one time of the request.
	Now metav1.Time
	// User is who asks. It is never nil while a request is served.
	User *auth.User
}

// Row is one line of the table: all that distinguishes one resource from
// another, typed by what it stores. A nil hook means that the kind has nothing
// to do there. See the package comment for the order in which hooks run.
type Row[T Object] struct {
	// Storage is the group and version that T belongs to and in which objects
	// are stored. It is served too, unless NotServed is set.
	Storage schema.GroupVersion
	Kind    string
	// Plural is the name in URLs, Singular the other name kubectl accepts
	// (the kind in lower case unless set).
	Plural     string
	Singular   string
	ShortNames []string
	// Categories are groups that kubectl expands, such as "all".
	Categories []string
	// ClusterScoped resources have no namespace.
	ClusterScoped bool
	// Prefix is the part of the storage key between "/registry/" and the
	// namespace, as upstream has it: Plural unless set.
	Prefix string
	// StoredAsJSON: objects are stored as JSON, though they have a protobuf form.
	StoredAsJSON bool
	// Verbs are those served on the main resource; all of AllVerbs unless set.
	Verbs []string
	// Virtual resources are answered, never stored (reviews). Their only verb
	// is create; the API server is given the function that answers.
	Virtual bool

	// New makes an empty T, NewList an empty list of it.
	New     func() T
	NewList func() runtime.Object

	// Also lists other versions (of this or of another group) under which the
	// same objects are served, in order of preference after Storage.
	Also []Version[T]

	// Former are versions in which objects may still be stored, and which nobody
	// is served.
	Former []Version[T]

	// ValidateName checks metadata.name; with prefix it is a generateName, and
	// checked as what can begin a name. Required for stored resources.
	ValidateName func(name string, prefix bool) []string

	// Default fills in what the client left out, as upstream's defaulting of
	// the storage version does.
	Default func(obj T)
	// PrepareCreate clears what a client may not set at creation, such as
	// status, and completes what the server sets. The name, the UID and the
	// time of creation are there already.
	PrepareCreate func(req *Request, obj T)
	// PrepareUpdate restores from old what an update may not touch.
	PrepareUpdate func(req *Request, obj, old T)
	// Validate checks a new object, ValidateUpdate a changed one (metadata is
	// checked by the caller, for all kinds alike).
	Validate       func(obj T) field.ErrorList
	ValidateUpdate func(obj, old T) field.ErrorList
	// Warnings are sent to the client with a successful create (old is nil)
	// or update.
	Warnings func(obj, old T) []string

	// Spec returns the part whose change raises metadata.generation (compared
	// semantically). Nil for kinds without a generation.
	Spec func(obj T) any

	// CreateOnUpdate lets a PUT create a missing object.
	CreateOnUpdate bool
	// Settled: a write is answered once this server itself acts by it, since its
	// cache has the object. For kinds that decide about other requests.
	Settled bool
	// RequireResourceVersion refuses a PUT without metadata.resourceVersion.
	RequireResourceVersion bool

	// Restored are fields that a write restores, and whose writer does not come to
	// own them, beside the status, or the spec where the status is written: such as
	// "spec" or "metadata.labels".
	Restored []string

	// Graceful returns the grace period in seconds with which obj is to be
	// deleted, given what the client asked for; 0 removes it at once. Nil for
	// kinds that are not deleted gracefully.
	Graceful func(obj T, opts *metav1.DeleteOptions) int64
	// Keep says why an object cannot be deleted by anyone (system priority
	// classes), or nothing where it can. Nil: every object can.
	Keep func(obj T) (why string)
	// MarkDeleted completes an object that has just got its deletion timestamp
	// (a namespace becomes Terminating). Nil: nothing to do.
	MarkDeleted func(req *Request, obj T)
	// AnyFinalizer: the names of finalizers need no domain.
	AnyFinalizer bool
	// CleanUp is a finalizer that the first request for deletion adds, for kinds
	// that cause what must be deleted before them.
	CleanUp string
	// Held reports whether something beside metadata.finalizers keeps a
	// deleted object, such as spec.finalizers of a namespace: it is removed
	// with the write that empties both. Nil: nothing does.
	Held func(obj T) bool
	// ReturnDeleted: the answer to a deletion is the object, not a status that
	// names it.
	ReturnDeleted bool
	// OrphanByDefault: a deletion without propagationPolicy orphans dependents
	// (replication controllers and jobs, for compatibility).
	OrphanByDefault bool
	// TTL is how long an object lives after each write; 0 means for ever.
	TTL func(obj T) time.Duration

	// Updates are the subresources that write a part of the object (status,
	// approval, finalize, ephemeralcontainers, resize), by name.
	Updates map[string]Update[T]
	// Scale serves the scale subresource.
	Scale *Scale[T]
	// Connects are the subresources that the API server answers by a function
	// of its own (log, exec, binding, eviction, token, proxy, …).
	Connects []Connect

	// Fields returns the fields by which objects can be selected beside
	// metadata.name and metadata.namespace.
	Fields func(obj T) map[string]string
	// Indexed names those of Fields that the cache keeps an index for.
	Indexed []string

	// Columns and Cells print the object in a table, as kubectl get shows it.
	Columns []metav1.TableColumnDefinition
	Cells   func(obj T, now time.Time) []any
	// RowConditions mark a row, such as a completed pod.
	RowConditions func(obj T) []metav1.TableRowCondition
	// Order sorts the rows of a table; nil leaves them in the order of their
	// keys.
	Order func(a, b T) int
}

// Update is a subresource that writes a part of an object of type T.
type Update[T Object] struct {
	// Restored are further fields that PrepareUpdate restores: see [Row].Restored.
	Restored []string
	// PrepareUpdate restores from old everything that this subresource may
	// not touch.
	PrepareUpdate  func(req *Request, obj, old T)
	ValidateUpdate func(obj, old T) field.ErrorList
	Warnings       func(obj, old T) []string
	// Verbs are those served: get, patch and update unless set.
	Verbs []string
}

// Scale reads and writes the replica count of a T.
type Scale[T Object] struct {
	Get func(obj T) *autoscalingv1.Scale
	Set func(obj T, replicas int32)
	// ReplicasPath is the managed-fields path of the count, such as
	// "spec.replicas".
	ReplicasPath []string
}

// Connect names a subresource answered by a function of the API server.
type Connect struct {
	// Name is the last part of the URL: "exec".
	Name string
	// Kind is what discovery says the subresource takes: PodExecOptions,
	// Eviction, TokenRequest.
	Kind schema.GroupVersionKind
	// Verbs in discovery: create, get, ….
	Verbs []string
}

// Version is another group and version in which the objects of a row are
// served.
type Version[T Object] struct {
	GroupVersion schema.GroupVersion
	// Kind is set where it differs from the row's.
	Kind    string
	New     func() Object
	NewList func() runtime.Object
	// Default fills in what the client left out in this version.
	Default func(obj Object)
	// To and From convert without loss. They may share memory with their
	// argument but never change it.
	To   func(obj T) (Object, error)
	From func(obj Object) (T, error)
	// Validate adds checks that only this version makes (nil: none).
	Validate func(obj, old Object) field.ErrorList
	// Fields names selectable fields in this version, where they differ.
	Fields func(obj T) map[string]string
}
