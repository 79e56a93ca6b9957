package union

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"proa/auth"
	"proa/auth/anonymous"
)

type says struct {
	user *auth.User
	err  error
}

func (s says) Authenticate(*http.Request) (*auth.User, error) { return s.user, s.err }

func TestAuthenticators(t *testing.T) {
	t.Parallel()
	bad, known, nothing := says{err: errors.New("bad")}, says{user: &auth.User{Name: "u"}}, says{}
	open := anonymous.Authenticator{Paths: anonymous.HealthPaths()}
	tests := map[string]struct {
		a    auth.Authenticator
		path string
		want string // user, "" for none
		err  bool
	}{
		"the first that knows":         {Authenticators{nothing, known, bad}, "/", "u", false},
		"an error does not end it":     {Authenticators{bad, known}, "/", "u", false},
		"nobody, with an error":        {Authenticators{nothing, bad}, "/", "", true},
		"nobody":                       {Authenticators{nothing}, "/", "", false},
		"anonymous on health":          {OrElse{Authenticators{nothing}, open}, "/healthz", auth.Anonymous, false},
		"not elsewhere":                {OrElse{Authenticators{nothing}, open}, "/healthz/etcd", "", false},
		"not with bad credentials":     {OrElse{Authenticators{bad}, open}, "/healthz", "", true},
		"everywhere, if that is meant": {OrElse{nothing, anonymous.Authenticator{}}, "/api", auth.Anonymous, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := test.a.Authenticate(&http.Request{URL: &url.URL{Path: test.path}})
			if (err != nil) != test.err || (u == nil) != (test.want == "") || u != nil && u.Name != test.want {
				t.Fatalf("got %+v, %v", u, err)
			}
			if u != nil && u.InGroup(auth.GroupAuthenticated) == (u.Name == auth.Anonymous) {
				t.Errorf("groups %v", u.Groups)
			}
		})
	}
}

func TestAuthorizers(t *testing.T) {
	t.Parallel()
	z := func(d auth.Decision, reason string, err error) auth.Authorizer {
		return auth.AuthorizerFunc(func(context.Context, *auth.Attributes) (auth.Decision, string, error) { return d, reason, err })
	}
	yes, no, none := z(auth.Allow, "yes", nil), z(auth.Deny, "no", nil), z(auth.NoOpinion, "hm", nil)
	broken := z(auth.NoOpinion, "", errors.New("broken"))
	tests := map[string]struct {
		z      Authorizers
		d      auth.Decision
		reason string
		err    bool
	}{
		"allow wins":        {Authorizers{none, yes, no}, auth.Allow, "yes", false},
		"deny wins":         {Authorizers{no, yes}, auth.Deny, "no", false},
		"nobody":            {Authorizers{none, none}, auth.NoOpinion, "hm\nhm", false},
		"broken, then yes":  {Authorizers{broken, yes}, auth.Allow, "yes", false},
		"broken, then none": {Authorizers{broken, none}, auth.NoOpinion, "hm", true},
		"empty":             {nil, auth.NoOpinion, "", false},
	}
	for name, test := range tests {
		d, reason, err := test.z.Authorize(t.Context(), &auth.Attributes{})
		if d != test.d || reason != test.reason || (err != nil) != test.err {
			t.Errorf("%s: %v %q %v", name, d, reason, err)
		}
	}
}
