// Package library speaks with the authenticators and authorizers of
// k8s.io/apiserver, which are used where writing them anew would only copy them:
// it puts users and questions into their words, and their answers into ours.
package library

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"proa/auth"
)

// User is an authenticated user in our words.
func User(u user.Info) *auth.User {
	out := &auth.User{Name: u.GetName(), UID: u.GetUID(), Groups: slices.Clone(u.GetGroups())}
	for k, v := range u.GetExtra() {
		if out.Extra == nil {
			out.Extra = map[string][]string{}
		}
		k = strings.ToLower(k)
		out.Extra[k] = append(out.Extra[k], v...)
	}
	return auth.Authenticated(out)
}

// Tokens asks an authenticator whose tokens are meant for the API server itself,
// which has the audiences own.
type Tokens struct {
	authenticator.Token
	Own []string
}

// AuthenticateToken implements [auth.TokenAuthenticator].
func (t Tokens) AuthenticateToken(ctx context.Context, token string, audiences []string) (*auth.User, []string, error) {
	if len(audiences) == 0 {
		audiences = t.Own
	}
	r, ok, err := t.Token.AuthenticateToken(authenticator.WithAudiences(ctx, audiences), token)
	if err != nil || !ok {
		return nil, nil, err
	}
	return User(r.User), r.Audiences, nil
}

// Question is a question in the words of the library. It must not be changed
// while the answer is awaited.
func Question(a *auth.Attributes) authorizer.Attributes { return question{a} }

type question struct{ a *auth.Attributes }

func (q question) GetUser() user.Info {
	if q.a.User == nil {
		return nil
	}
	u := q.a.User
	return &user.DefaultInfo{Name: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra}
}

func (q question) GetVerb() string { return q.a.Verb }
func (q question) IsReadOnly() bool {
	return q.a.Verb == "get" || q.a.Verb == "list" || q.a.Verb == "watch"
}
func (q question) GetNamespace() string    { return q.a.Namespace }
func (q question) GetResource() string     { return q.a.Resource }
func (q question) GetSubresource() string  { return q.a.Subresource }
func (q question) GetName() string         { return q.a.Name }
func (q question) GetAPIGroup() string     { return q.a.Group }
func (q question) GetAPIVersion() string   { return q.a.Version }
func (q question) IsResourceRequest() bool { return q.a.IsResource }
func (q question) GetPath() string         { return q.a.Path }

func (q question) GetFieldSelector() (fields.Requirements, error) { return q.a.Fields, nil }
func (q question) GetLabelSelector() (labels.Requirements, error) { return q.a.Labels, nil }

// Decision is an answer in our words.
func Decision(d authorizer.Decision) auth.Decision {
	switch d {
	case authorizer.DecisionAllow:
		return auth.Allow
	case authorizer.DecisionDeny:
		return auth.Deny
	}
	return auth.NoOpinion
}
