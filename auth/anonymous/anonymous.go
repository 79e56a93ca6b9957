// Package anonymous lets requests without credentials in, as the user
// system:anonymous, where an operator allows it: nowhere, everywhere, or on
// some paths only (the health endpoints, unless told otherwise).
package anonymous

import (
	"net/http"
	"slices"

	"proa/auth"
)

// HealthPaths returns the paths that are open without credentials by default.
func HealthPaths() []string { return []string{"/healthz", "/livez", "/readyz"} }

// Authenticator is an [auth.Authenticator] that knows nobody and lets
// everybody in. Put it behind the others with union.OrElse, so that a
// request with bad credentials is refused and not let in as nobody.
type Authenticator struct {
	// Paths that are open; nil is every path.
	Paths []string
}

// Authenticate implements [auth.Authenticator].
func (a Authenticator) Authenticate(r *http.Request) (*auth.User, error) {
	if a.Paths != nil && !slices.Contains(a.Paths, r.URL.Path) {
		return nil, nil
	}
	return &auth.User{Name: auth.Anonymous, Groups: []string{auth.GroupUnauthenticated}}, nil
}
