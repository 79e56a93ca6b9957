package audit

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"proa/auth"
)

// Sink takes events. An event is not changed any more, and may be kept.
type Sink interface {
	Take(e *auditv1.Event)
	// Close returns when all that was taken has been passed on, or never will be.
	Close()
}

// Logger logs requests. Safe for concurrent use.
type Logger struct {
	Policy *Policy
	Sinks  []Sink
	Now    func() time.Time
	Log    *slog.Logger
}

// Close closes the sinks.
func (l *Logger) Close() {
	for _, s := range l.Sinks {
		s.Close()
	}
}

// Record is what is logged of one request. Its methods do nothing on nil, which
// is the record of a request that is not logged. Safe for concurrent use.
type Record struct {
	of *Logger
	verdict

	mu    sync.Mutex
	event auditv1.Event
	begun bool
}

// Begin begins to log a request that has been authenticated, unless the policy
// leaves it out. Version is that of the resource.
func (l *Logger) Begin(r *http.Request, id string, received time.Time, a *auth.Attributes) *Record {
	v := l.Policy.decide(a)
	if v.level == auditv1.LevelNone {
		return nil
	}
	rec := &Record{of: l, verdict: v}
	e := &rec.event
	e.TypeMeta = metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Event"}
	e.Level, e.AuditID, e.Verb, e.RequestURI, e.UserAgent = v.level, types.UID(id), a.Verb, r.URL.RequestURI(), cut(r.UserAgent())
	e.RequestReceivedTimestamp = metav1.NewMicroTime(received)
	e.User = userInfo(a.User)
	for _, ip := range utilnet.SourceIPs(r) {
		e.SourceIPs = append(e.SourceIPs, ip.String())
	}
	if a.IsResource {
		e.ObjectRef = &auditv1.ObjectReference{
			Resource: a.Resource, Namespace: a.Namespace, Name: a.Name, APIGroup: a.Group, APIVersion: a.Version, Subresource: a.Subresource,
		}
	}
	rec.emit(auditv1.StageRequestReceived)
	return rec
}

// maxUserAgent is the length in bytes of what is logged of a User-Agent.
const maxUserAgent = 1024

func cut(s string) string {
	if len(s) > maxUserAgent {
		return s[:maxUserAgent] + "...TRUNCATED"
	}
	return s
}

func userInfo(u *auth.User) authenticationv1.UserInfo {
	if u == nil {
		return authenticationv1.UserInfo{}
	}
	i := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if i.Extra == nil {
			i.Extra = map[string]authenticationv1.ExtraValue{}
		}
		i.Extra[k] = v
	}
	return i
}

// emit passes the event on as it is at a stage.
func (r *Record) emit(s auditv1.Stage) {
	if slices.Contains(r.omit, s) {
		return
	}
	r.mu.Lock()
	e := r.event
	e.Annotations = maps.Clone(e.Annotations)
	if e.ObjectRef != nil {
		ref := *e.ObjectRef
		e.ObjectRef = &ref
	}
	r.mu.Unlock()
	e.Stage, e.StageTimestamp = s, metav1.NewMicroTime(r.of.Now())
	for _, sink := range r.of.Sinks {
		sink.Take(&e)
	}
}

// Impersonates notes as whom the user asks.
func (r *Record) Impersonates(u *auth.User) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := userInfo(u)
	r.event.ImpersonatedUser = &i
}

// Bounds of annotations, of which webhooks may add some.
const (
	maxAnnotations = 200
	maxAnnotation  = 256 << 10
)

// Annotate adds an annotation; the first value of a key stands. One that shows
// what the request brings is logged only where the request is.
func (r *Record) Annotate(key, value string, shows bool) {
	if r == nil || shows && !r.Requests() || len(value) > maxAnnotation {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.event.Annotations[key]; ok || len(r.event.Annotations) >= maxAnnotations {
		return
	}
	if r.event.Annotations == nil {
		r.event.Annotations = map[string]string{}
	}
	r.event.Annotations[key] = value
}

// Requests reports whether what requests bring is logged.
func (r *Record) Requests() bool {
	return r != nil && (r.level == auditv1.LevelRequest || r.level == auditv1.LevelRequestResponse)
}

// Responses reports whether what is answered is logged.
func (r *Record) Responses() bool { return r != nil && r.level == auditv1.LevelRequestResponse }

// Request notes what the request brings: an object, or a patch.
func (r *Record) Request(js []byte) {
	if r.Requests() {
		r.keep(js, &r.event.RequestObject)
	}
}

// Response notes the object that is answered.
func (r *Record) Response(js []byte) {
	if r.Responses() {
		r.keep(js, &r.event.ResponseObject)
	}
}

// keep copies an object, without its managed fields where they are left out.
func (r *Record) keep(js []byte, into **runtime.Unknown) {
	if r.omitManagedFields {
		js = withoutManagedFields(js)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	*into = &runtime.Unknown{Raw: slices.Clone(js), ContentType: runtime.ContentTypeJSON}
}

func withoutManagedFields(js []byte) []byte {
	var tree map[string]any
	if err := json.Unmarshal(js, &tree); err != nil {
		return js // a JSON patch is a list
	}
	strip := func(o map[string]any) {
		if m, ok := o["metadata"].(map[string]any); ok {
			delete(m, "managedFields")
		}
	}
	strip(tree)
	if items, ok := tree["items"].([]any); ok {
		for _, i := range items {
			if o, ok := i.(map[string]any); ok {
				strip(o)
			}
		}
	}
	out, err := json.Marshal(tree)
	if err != nil {
		return js
	}
	return out
}

// Object notes the object that a request made or changed.
func (r *Record) Object(o metav1.Object) {
	if r == nil || r.event.ObjectRef == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ref := r.event.ObjectRef
	if ref.Name == "" {
		ref.Name = o.GetName()
	}
	if ref.Namespace == "" {
		ref.Namespace = o.GetNamespace()
	}
	ref.UID, ref.ResourceVersion = o.GetUID(), o.GetResourceVersion()
}

// Started notes that the answer to a long-running request has begun.
func (r *Record) Started(code int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	done := r.begun
	r.begun = true
	r.status(code)
	r.mu.Unlock()
	if !done {
		r.emit(auditv1.StageResponseStarted)
	}
}

func (r *Record) status(code int) {
	if r.event.ResponseStatus == nil {
		r.event.ResponseStatus = &metav1.Status{Code: int32(code)}
	}
}

// Failed notes the status by which the request is refused.
func (r *Record) Failed(s *metav1.Status) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event.ResponseStatus = &metav1.Status{Status: s.Status, Message: s.Message, Reason: s.Reason, Details: s.Details, Code: s.Code}
}

// Complete ends the record: the request has been answered, or has panicked.
func (r *Record) Complete(code int, panicked bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	if panicked && r.event.ResponseStatus == nil {
		r.event.ResponseStatus = &metav1.Status{
			Code: http.StatusInternalServerError, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
			Message: "APIServer panic'd",
		}
	}
	r.status(code)
	r.mu.Unlock()
	if panicked {
		r.emit(auditv1.StagePanic)
		return
	}
	r.emit(auditv1.StageResponseComplete)
}
