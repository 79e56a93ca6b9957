package hollow

import (
	"context"
	"fmt"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"

	"proa/auth"
)

type nodeKey struct{}

// withNode makes requests under ctx be those of a node.
func withNode(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, nodeKey{}, name)
}

// NodeOf returns the node that a request is made by, or "" where it is the
// fleet's own.
func NodeOf(ctx context.Context) string {
	name, _ := ctx.Value(nodeKey{}).(string)
	return name
}

// User is who a node is to the API server.
func User(name string) *auth.User {
	return &auth.User{Name: auth.NodePrefix + name, Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}
}

// Impersonate wraps a transport whose own user may impersonate nodes.
func Impersonate(next http.RoundTripper) http.RoundTripper { return impersonator{next} }

type impersonator struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t impersonator) RoundTrip(r *http.Request) (*http.Response, error) {
	name := NodeOf(r.Context())
	if name == "" {
		return t.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	u := User(name)
	r.Header.Set(authenticationv1.ImpersonateUserHeader, u.Name)
	r.Header[authenticationv1.ImpersonateGroupHeader] = []string{auth.GroupNodes}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("as node %s: %w", name, err)
	}
	return resp, nil
}
