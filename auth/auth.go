package auth

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// Names and groups with a meaning of their own.
const (
	Anonymous            = "system:anonymous"
	GroupAuthenticated   = "system:authenticated"
	GroupUnauthenticated = "system:unauthenticated"
	GroupMasters         = "system:masters"
	GroupNodes           = "system:nodes"
	GroupServiceAccounts = "system:serviceaccounts"
	NodePrefix           = "system:node:"
	ServiceAccountPrefix = "system:serviceaccount:"
)

// User is an authenticated (or anonymous) caller. It is immutable once made:
// authenticators may hand the same one to many requests.
type User struct {
	Name   string
	UID    string
	Groups []string
	// Extra is what the mechanism adds, such as the pod that a token is bound
	// to. Keys are lower case.
	Extra map[string][]string
}

// InGroup reports whether the user belongs to the group.
func (u *User) InGroup(group string) bool {
	for _, g := range u.Groups {
		if g == group {
			return true
		}
	}
	return false
}

// Authenticator finds out who sent a request. It returns nil and no error
// where the request carries no credentials of its kind, and an error where it
// does and they are not valid. It must not change the request except to remove
// the credentials that it has used. Safe for concurrent use.
type Authenticator interface {
	Authenticate(r *http.Request) (*User, error)
}

// TokenAuthenticator checks a bearer token meant for one of the audiences (the
// API server's own when there are none), and returns those audiences that it
// is valid for.
type TokenAuthenticator interface {
	AuthenticateToken(ctx context.Context, token string, audiences []string) (user *User, valid []string, err error)
}

// Attributes is one question to an authorizer.
type Attributes struct {
	User *User
	// Verb is get, list, watch, create, update, patch, delete,
	// deletecollection or one of the special ones (impersonate, bind,
	// escalate, approve, sign, …) for a resource, the HTTP method in lower
	// case otherwise.
	Verb string
	// Path is the URL path of a request that is not for a resource.
	Path string

	// IsResource: the following are meaningful.
	IsResource  bool
	Group       string
	Version     string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	// Selectors of a list, watch or deletecollection, nil where none.
	Fields fields.Requirements
	Labels labels.Requirements
}

// Decision is what an authorizer thinks of a question.
type Decision int

// NoOpinion is the zero value: ask the next one.
const (
	NoOpinion Decision = iota
	Allow
	Deny
)

// Authorizer answers questions. The reason is shown to the caller where the
// answer is no, and written to the audit log. Safe for concurrent use.
type Authorizer interface {
	Authorize(ctx context.Context, a *Attributes) (d Decision, reason string, err error)
}

// AuthorizerFunc is a function that is an Authorizer.
type AuthorizerFunc func(ctx context.Context, a *Attributes) (Decision, string, error)

// Authorize calls f.
func (f AuthorizerFunc) Authorize(ctx context.Context, a *Attributes) (Decision, string, error) {
	return f(ctx, a)
}

type userKey struct{}

// WithUser returns a context that carries the user of a request. The
// in-process transport uses it to speak for a component without credentials.
func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom returns the user of a request, or nil.
func UserFrom(ctx context.Context) *User {
	u, _ := ctx.Value(userKey{}).(*User)
	return u
}
