package request

import (
	"context"
	"net/url"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/audit"
	"proa/auth"
	"proa/resource"
)

// Call is one request to a resource on its way through the server: who asks
// for what, and what it has learned so far. It belongs to the one goroutine
// that serves the request; only warnings may come from others.
type Call struct {
	Info
	// Match is the definition and served version of the resource. Its
	// Definition is nil for paths that no resource has.
	Match resource.Match
	User  *auth.User
	// Now is the one time of the request.
	Now metav1.Time
	// Query of the URL, parsed.
	Query url.Values
	// Local: the call comes from this process, without a wire.
	Local     bool
	UserAgent string
	AuditID   string
	// Audit is what is logged of the request, nil where nothing is.
	Audit *audit.Record
	// Begun is called by a watch when what there was at its beginning has been
	// sent, perhaps more than once. It may be nil.
	Begun func()

	mu       sync.Mutex
	warnings []string
}

// MaxWarnings and MaxWarningBytes bound what one response may carry in
// Warning headers.
const (
	MaxWarnings     = 50
	MaxWarningBytes = 4096
)

// Warn adds a warning to the response, once. It is safe for concurrent use,
// and has no effect once the response has begun.
func (c *Call) Warn(text string) {
	if text == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.warnings) >= MaxWarnings {
		return
	}
	for _, w := range c.warnings {
		if w == text {
			return
		}
	}
	c.warnings = append(c.warnings, text)
}

// Warnings returns those so far.
func (c *Call) Warnings() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.warnings
}

// Request is what the hooks of a definition may know of the call.
func (c *Call) Request() *resource.Request {
	return &resource.Request{Now: c.Now, User: c.User}
}

type callKey struct{}

// With returns a context that carries the call, and through it the user.
func With(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// From returns the call of a context, or nil.
func From(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}
