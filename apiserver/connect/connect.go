package connect

import (
	"context"
	"net/http"
	"net/url"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/apiserver/request"
)

// Key names what a handler answers: a subresource, or (with none) a virtual
// resource.
type Key struct {
	Group, Resource, Subresource string
}

// Registry holds the handlers. It must not change once requests are served.
type Registry map[Key]Handler

// Add puts all of more into r.
func (r Registry) Add(more Registry) {
	for k, h := range more {
		r[k] = h
	}
}

// Handler answers requests in one of two ways. Either Answer is set, or Stream.
type Handler struct {
	// New makes what the body of a POST is decoded into, of kind Kind (which
	// the Connect of the definition repeats for discovery). Virtual resources
	// leave them to their definition, which also defaults and validates.
	New  func() runtime.Object
	Kind schema.GroupVersionKind
	// Default fills in what the client left out.
	Default func(in runtime.Object)
	// Answer does the work of a POST and returns what is sent with 201, in its
	// served form. Admission has passed the body as the creation of the
	// subresource.
	Answer func(ctx context.Context, c *Input) (runtime.Object, error)
	// Validates: Answer calls Input.Validate itself, once it has completed the
	// body, and before its work has an effect.
	Validates bool

	// Options reads the query into the options of the subresource (such as
	// PodExecOptions), which admission sees. Nil where there are none.
	Options func(query url.Values) (runtime.Object, error)
	// Stream answers the request itself. As long as it has written nothing, it
	// may return an error instead, which is sent as a status.
	Stream func(w http.ResponseWriter, r *http.Request, c *Stream) error
}

// Input is a POST with a decoded body.
type Input struct {
	*request.Call
	// Object is the body, never nil.
	Object runtime.Object
	DryRun bool
	// Validate passes the completed body through the validators of admission.
	Validate func(runtime.Object) error
}

// Stream is a request that the handler answers by itself.
type Stream struct {
	*request.Call
	// Options are what Handler.Options made of the query, or nil.
	Options runtime.Object
}
