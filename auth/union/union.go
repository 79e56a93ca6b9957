// Package union asks several authenticators, or several authorizers, in order.
package union

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"proa/auth"
)

// Authenticators asks each in order. The first user wins. An error does not
// end the search, since a request may carry two kinds of credentials; where
// nobody knows the caller, all errors are returned.
type Authenticators []auth.Authenticator

// Authenticate implements [auth.Authenticator].
func (u Authenticators) Authenticate(r *http.Request) (*auth.User, error) {
	var errs []error
	for _, a := range u {
		user, err := a.Authenticate(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if user != nil {
			return auth.Authenticated(user), nil
		}
	}
	return nil, errors.Join(errs...)
}

// OrElse asks Then where First found no credentials. Where First refused some,
// that is the answer.
type OrElse struct{ First, Then auth.Authenticator }

// Authenticate implements [auth.Authenticator].
func (o OrElse) Authenticate(r *http.Request) (*auth.User, error) {
	if user, err := o.First.Authenticate(r); user != nil || err != nil {
		return user, err
	}
	return o.Then.Authenticate(r)
}

// Authorizers asks each in order. The first Allow or Deny wins; where nobody
// has an opinion, the answer is NoOpinion with all reasons and errors.
type Authorizers []auth.Authorizer

// Authorize implements [auth.Authorizer].
func (u Authorizers) Authorize(ctx context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	var reasons []string
	var errs []error
	for _, z := range u {
		d, reason, err := z.Authorize(ctx, a)
		if err != nil {
			errs = append(errs, err)
		}
		if d != auth.NoOpinion {
			return d, reason, err
		}
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return auth.NoOpinion, strings.Join(reasons, "\n"), errors.Join(errs...)
}
