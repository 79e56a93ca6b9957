package configuration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/utils/ptr"

	"proa/auth"
	"proa/auth/authtest"
	"proa/auth/configuration"
	"proa/auth/webhook"
)

// own are the audiences of the API server, and its issuer.
const own = "https://kubernetes.default.svc"

func replace(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func authentication(body string) string {
	return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n" + body
}

// jwt is one authenticator of a configuration; rest is indented by two.
func jwt(i *authtest.Issuer, audiences, rest string) string {
	ca := strings.ReplaceAll(strings.TrimSpace(i.CA), "\n", "\n      ")
	return fmt.Sprintf("- issuer:\n    url: %s\n    audiences: [%s]\n    audienceMatchPolicy: MatchAny\n    certificateAuthority: |\n      %s\n%s", i.URL, audiences, ca, rest)
}

func openAuthentication(t *testing.T, o configuration.AuthenticationOptions) *configuration.Authentication {
	t.Helper()
	o.Audiences, o.DisallowedIssuers = []string{own}, []string{own}
	a, err := configuration.OpenAuthentication(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.WaitIssuers(ctx); err != nil {
		t.Fatal(err)
	}
	return a
}

func file(t *testing.T, data string) string {
	path := filepath.Join(t.TempDir(), "config.yaml")
	replace(t, path, data)
	return path
}

const byCEL = `  claimValidationRules:
  - expression: "claims.hd == 'example.com'"
    message: the token is of another domain
  - claim: kind
    requiredValue: person
  claimMappings:
    username: {expression: "'x:' + claims.login"}
    groups: {expression: "claims.roles"}
    uid: {expression: claims.id}
    extra:
    - {key: example.com/tenant, valueExpression: claims.tenant}
  userValidationRules:
  - expression: "!user.username.startsWith('x:system:')"
    message: names of the system are not for people
`

const byName = `  claimMappings:
    username: {claim: sub, prefix: "plain:"}
    groups: {claim: groups, prefix: "g:"}
`

func TestTokensOfIssuers(t *testing.T) {
	t.Parallel()
	one, two, stranger := authtest.NewIssuer(t), authtest.NewIssuer(t), authtest.NewIssuer(t)
	a := openAuthentication(t, configuration.AuthenticationOptions{
		File: file(t, authentication("jwt:\n"+jwt(one, "app, other", byCEL)+jwt(two, "cluster", byName))),
	})
	good := map[string]any{"aud": []string{"app", "z"}, "hd": "example.com", "kind": "person", "login": "jane", "roles": []string{"a", "b"}, "id": "7", "tenant": "t"}
	with := func(changes map[string]any) map[string]any {
		c := map[string]any{}
		for k, v := range good {
			c[k] = v
		}
		for k, v := range changes {
			c[k] = v
		}
		return c
	}
	jane := &auth.User{Name: "x:jane", UID: "7", Groups: []string{"a", "b", auth.GroupAuthenticated}, Extra: map[string][]string{"example.com/tenant": {"t"}}}
	for _, c := range []struct {
		name, token string
		audiences   []string
		want        *auth.User
		err         string
	}{
		{name: "by CEL", token: one.Token(good), want: jane},
		{name: "other audience of the list", token: one.Token(with(map[string]any{"aud": "other"})), want: jane},
		{name: "asked for our audience", token: one.Token(good), audiences: []string{own, "x"}, want: jane},
		{name: "asked for another audience", token: one.Token(good), audiences: []string{"app"}},
		{name: "by name", token: two.Token(map[string]any{"aud": "cluster", "sub": "joe", "groups": []string{"dev"}}), want: &auth.User{Name: "plain:joe", Groups: []string{"g:dev", auth.GroupAuthenticated}}},
		{name: "nobody's audience", token: one.Token(with(map[string]any{"aud": "z"})), err: "expected audience"},
		{name: "another domain", token: one.Token(with(map[string]any{"hd": "evil.com"})), err: "the token is of another domain"},
		{name: "required claim", token: one.Token(with(map[string]any{"kind": "robot"})), err: "kind"},
		{name: "required claim missing", token: one.Token(with(map[string]any{"kind": nil})), err: "kind"},
		{name: "a name of the system", token: one.Token(with(map[string]any{"login": "system:admin"})), err: "names of the system"},
		{name: "expired", token: one.Token(with(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})), err: "expired"},
		{name: "not yet", token: one.Token(with(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})), err: "nbf"},
		{name: "signed by another", token: stranger.Token(with(map[string]any{"iss": one.URL})), err: "signature"},
		{name: "of another issuer", token: stranger.Token(good)},
		{name: "no claim for the name", token: one.Token(with(map[string]any{"login": nil})), err: "login"},
		{name: "no token at all", token: "abc"},
		{name: "without a signature", token: strings.Join(strings.Split(one.Token(good), ".")[:2], ".") + ".", err: "signature"},
	} {
		got, valid, err := a.AuthenticateToken(t.Context(), c.token, c.audiences)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		if c.want != nil && !slices.Equal(valid, []string{own}) {
			t.Errorf("%s: valid for %v", c.name, valid)
		}
	}
}

// A key that is not known is looked for at the issuer, so that its keys may change;
// one that is known is not.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	i := authtest.NewIssuer(t)
	a := openAuthentication(t, configuration.AuthenticationOptions{File: file(t, authentication("jwt:\n"+jwt(i, "x", byName)))})
	for round := range 3 {
		for n := range 5 {
			name := fmt.Sprint(round, n)
			u, _, err := a.AuthenticateToken(t.Context(), i.Token(map[string]any{"aud": "x", "sub": name}), nil)
			if err != nil || u.Name != "plain:"+name {
				t.Fatal(u, err)
			}
		}
		if n := i.KeyFetches.Load(); n != int64(round+1) {
			t.Errorf("after %d rotations keys were fetched %d times", round, n)
		}
		i.Rotate()
	}
}

// Whatever is written into the file is in force as a whole or not at all.
func TestAuthenticationReloads(t *testing.T) {
	t.Parallel()
	one, two := authtest.NewIssuer(t), authtest.NewIssuer(t)
	path := file(t, authentication("anonymous: {enabled: true, conditions: [{path: /livez}]}\njwt:\n"+jwt(one, "x", byName)))
	a := openAuthentication(t, configuration.AuthenticationOptions{File: path})
	knows := func(i *authtest.Issuer) bool {
		u, _, _ := a.AuthenticateToken(t.Context(), i.Token(map[string]any{"aud": "x", "sub": fmt.Sprint(time.Now().UnixNano())}), nil)
		return u != nil
	}
	open := func(path string) bool {
		u, err := a.Anonymous().Authenticate(httptest.NewRequest(http.MethodGet, path, nil))
		return u != nil && err == nil
	}
	if !knows(one) || knows(two) || !open("/livez") || open("/readyz") {
		t.Fatal("the beginning is not as configured")
	}
	// Is not in force, whatever comes of the first part.
	replace(t, path, authentication("anonymous: {enabled: true}\njwt:\n"+jwt(two, "x", "  claimMappings: {username: {expression: 'claims.'}}\n")))
	replace(t, path, authentication("anonymous: {enabled: false}\njwt:\n"+jwt(two, "x", byName)))
	for end := time.Now().Add(30 * time.Second); !knows(two); time.Sleep(10 * time.Millisecond) {
		if open("/x") {
			t.Fatal("a file that does not compile is in force")
		}
		if time.Now().After(end) {
			t.Fatal("the file is never in force")
		}
	}
	if knows(one) || open("/livez") {
		t.Error("the former file is still in force")
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file     string
		flag           *bool
		livez, pathsIn bool
	}{
		{name: "default", livez: true},
		{name: "flag on", flag: ptr.To(true), livez: true, pathsIn: true},
		{name: "flag off", flag: ptr.To(false)},
		{name: "file silent", file: authentication(""), livez: true},
		{name: "file off", file: authentication("anonymous: {enabled: false}")},
		{name: "file on", file: authentication("anonymous: {enabled: true}"), livez: true, pathsIn: true},
		{name: "file silent, flag on", file: authentication(""), flag: ptr.To(true), livez: true, pathsIn: true},
		{name: "conditions", file: authentication("anonymous: {enabled: true, conditions: [{path: /api}]}"), pathsIn: true},
	} {
		o := configuration.AuthenticationOptions{Anonymous: c.flag}
		if c.file != "" {
			o.File = file(t, c.file)
		}
		a := openAuthentication(t, o)
		for path, want := range map[string]bool{"/livez": c.livez, "/api": c.pathsIn} {
			u, err := a.Anonymous().Authenticate(httptest.NewRequest(http.MethodGet, path, nil))
			if got := u != nil; got != want || err != nil {
				t.Errorf("%s: %s is open: %t, %v", c.name, path, got, err)
			}
		}
	}
}

func TestBadAuthentication(t *testing.T) {
	t.Parallel()
	i := authtest.NewIssuer(t)
	ours := &authtest.Issuer{URL: own, CA: i.CA}
	for _, c := range []struct {
		name, file, want string
		o                configuration.AuthenticationOptions
	}{
		{name: "another kind", file: strings.Replace(authentication(""), "AuthenticationConfiguration", "AuthorizationConfiguration", 1), want: "not a AuthenticationConfiguration"},
		{name: "unknown field", file: authentication("jtw: []"), want: "jtw"},
		{name: "an expression", file: authentication("jwt:\n" + jwt(i, "x", "  claimMappings: {username: {expression: 'claims.'}}\n")), want: "jwt[0].claimMappings.username.expression"},
		{name: "our own issuer", file: authentication("jwt:\n" + jwt(ours, "x", byName)), want: "jwt[0].issuer.url"},
		{name: "twice the same", file: authentication("jwt:\n" + jwt(i, "x", byName) + jwt(i, "z", byName)), want: "Duplicate"},
		{name: "by http", file: authentication("jwt:\n" + strings.Replace(jwt(i, "x", byName), "https:", "http:", 1)), want: "URL scheme must be https"},
		{name: "egress", file: authentication("jwt:\n" + strings.Replace(jwt(i, "x", byName), "    audiences:", "    egressSelectorType: cluster\n    audiences:", 1)), want: "egress"},
		{name: "two places for nobody", file: authentication("anonymous: {enabled: true}"), o: configuration.AuthenticationOptions{Anonymous: ptr.To(true)}, want: "--anonymous-auth"},
		{name: "file and flags", file: authentication(""), o: configuration.AuthenticationOptions{OIDC: configuration.OIDC{IssuerURL: i.URL}}, want: "mutually exclusive"},
		{name: "half of the flags", o: configuration.AuthenticationOptions{OIDC: configuration.OIDC{IssuerURL: i.URL}}, want: "oidc-client-id"},
		{name: "an algorithm", o: configuration.AuthenticationOptions{OIDC: configuration.OIDC{IssuerURL: i.URL, ClientID: "x", SigningAlgs: []string{"none"}}}, want: "none"},
		{name: "webhook by http", o: configuration.AuthenticationOptions{Webhook: webhook.Tokens{Kubeconfig: authtest.Kubeconfig(t, "http://127.0.0.1:1", ""), Version: "v1"}}, want: "https"},
		{name: "webhook without a file", o: configuration.AuthenticationOptions{Webhook: webhook.Tokens{Kubeconfig: "/does/not/exist", Version: "v1"}}, want: "/does/not/exist"},
		{name: "webhook version", o: configuration.AuthenticationOptions{Webhook: webhook.Tokens{Kubeconfig: authtest.Kubeconfig(t, "https://127.0.0.1:1", i.CA), Version: "v2"}}, want: "v2"},
	} {
		if c.file != "" {
			c.o.File = file(t, c.file)
		}
		c.o.Audiences, c.o.DisallowedIssuers = []string{own}, []string{own}
		a, err := configuration.OpenAuthentication(t.Context(), c.o)
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFlagsOfOIDC(t *testing.T) {
	t.Parallel()
	i := authtest.NewIssuer(t)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	replace(t, ca, i.CA)
	claims := map[string]any{"aud": "x", "sub": "joe", "email": "joe@example.com", "email_verified": true, "groups": []string{"dev"}, "env": "prod"}
	for _, c := range []struct {
		name string
		o    configuration.OIDC
		want *auth.User
	}{
		{"defaults", configuration.OIDC{}, &auth.User{Name: i.URL + "#joe"}},
		{"email", configuration.OIDC{UsernameClaim: "email"}, &auth.User{Name: "joe@example.com"}},
		{"no prefix", configuration.OIDC{UsernamePrefix: "-"}, &auth.User{Name: "joe"}},
		{"prefixes and groups", configuration.OIDC{UsernamePrefix: "u:", GroupsClaim: "groups", GroupsPrefix: "g:"}, &auth.User{Name: "u:joe", Groups: []string{"g:dev"}}},
		{"required", configuration.OIDC{RequiredClaims: map[string]string{"env": "prod"}}, &auth.User{Name: i.URL + "#joe"}},
		{"required otherwise", configuration.OIDC{RequiredClaims: map[string]string{"env": "test"}}, nil},
		{"RS256 only", configuration.OIDC{SigningAlgs: []string{"RS256"}}, nil},
	} {
		c.o.IssuerURL, c.o.ClientID, c.o.CAFile = i.URL, "x", ca
		if c.o.SigningAlgs == nil {
			c.o.SigningAlgs = []string{"ES256"}
		}
		a := openAuthentication(t, configuration.AuthenticationOptions{OIDC: c.o})
		got, _, err := a.AuthenticateToken(t.Context(), i.Token(claims), nil)
		if c.want != nil {
			c.want.Groups = append(c.want.Groups, auth.GroupAuthenticated)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

// What is fetched of an issuer is bounded, and from no other place than one with a
// certificate.
func TestHostileIssuers(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Error("an issuer was reached without TLS")
	}))
	defer plain.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat(" ", 2<<20) + "{}"))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) },
		"circle":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
	} {
		var asked atomic.Int64
		i := authtest.Hostile(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); answer(w, r) })
		a, err := configuration.OpenAuthentication(t.Context(), configuration.AuthenticationOptions{
			File: file(t, authentication("jwt:\n"+jwt(i, "x", byName))), Audiences: []string{own},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := a.WaitIssuers(ctx); err == nil || !strings.Contains(err.Error(), "openid-configuration") {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		a.Close()
		if n := asked.Load(); n == 0 || n > 5 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

// A webhook is asked once for a token, whatever it says, and may say for whom the
// token is.
func TestTokenWebhook(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	kubeconfig := authtest.Webhook(t, func(r *authenticationv1.TokenReview) int {
		asked.Add(1)
		r.Status = authenticationv1.TokenReviewStatus{}
		switch r.Spec.Token {
		case "good":
			r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
				Username: "joe", UID: "1", Groups: []string{"dev"}, Extra: map[string]authenticationv1.ExtraValue{"Key": {"v"}},
			}}
		case "elsewhere":
			r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "joe"}, Audiences: []string{"other"}}
		case "error":
			r.Status.Error = "no such session"
		case "redirect":
			return http.StatusFound
		}
		return 0
	})
	a := openAuthentication(t, configuration.AuthenticationOptions{Webhook: webhook.Tokens{Kubeconfig: kubeconfig, Version: "v1", TTL: time.Minute}})
	joe := &auth.User{Name: "joe", UID: "1", Groups: []string{"dev", auth.GroupAuthenticated}, Extra: map[string][]string{"key": {"v"}}}
	for _, c := range []struct {
		token string
		want  *auth.User
		err   string
		asks  int64
	}{
		{"good", joe, "", 1},
		{"bad", nil, "", 1},
		{"elsewhere", nil, "", 1},
		{"error", nil, "no such session", 3},
		{"redirect", nil, "redirects", 3},
	} {
		before := asked.Load()
		for range 3 {
			got, _, err := a.AuthenticateToken(t.Context(), c.token, nil)
			if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v\n%s", c.token, err, diff)
			}
		}
		if n := asked.Load() - before; n != c.asks {
			t.Errorf("%s: asked %d times, not %d", c.token, n, c.asks)
		}
	}
	if got, valid, err := a.AuthenticateToken(t.Context(), "elsewhere", []string{"other"}); got == nil || !slices.Equal(valid, []string{"other"}) || err != nil {
		t.Errorf("for its audience: %v, %v, %v", got, valid, err)
	}
}
