package serviceaccount

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

// objects is a world of one of each.
type objects struct {
	sa     *corev1.ServiceAccount
	pod    *corev1.Pod
	secret *corev1.Secret
	node   *corev1.Node
}

func get[T metav1.Object](o T, there bool, ns, name string) (T, error) {
	if !there || o.GetNamespace() != ns || o.GetName() != name {
		var none T
		return none, apierrors.NewNotFound(corev1.Resource("things"), name)
	}
	return o, nil
}

func (o *objects) ServiceAccount(_ context.Context, ns, name string) (*corev1.ServiceAccount, error) {
	return get(o.sa, o.sa != nil, ns, name)
}

func (o *objects) Pod(_ context.Context, ns, name string) (*corev1.Pod, error) {
	return get(o.pod, o.pod != nil, ns, name)
}

func (o *objects) Secret(_ context.Context, ns, name string) (*corev1.Secret, error) {
	return get(o.secret, o.secret != nil, ns, name)
}

func (o *objects) Node(_ context.Context, name string) (*corev1.Node, error) {
	return get(o.node, o.node != nil, "", name)
}

const issuerName = "https://kubernetes.default.svc.cluster.local"

type fixture struct {
	*objects
	clock    *clocktesting.FakeClock
	key      *ecdsa.PrivateKey
	requests *Requests
	verifier *Verifier
}

func setUp(t testing.TB) *fixture {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{key: key, clock: clocktesting.NewFakeClock(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))}
	m := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID("uid-" + name)}
	}
	f.objects = &objects{
		sa: &corev1.ServiceAccount{ObjectMeta: m("sa")}, secret: &corev1.Secret{ObjectMeta: m("secret")},
		pod:  &corev1.Pod{ObjectMeta: m("pod"), Spec: corev1.PodSpec{ServiceAccountName: "sa", NodeName: "node"}},
		node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node", UID: "uid-node"}},
	}
	issuer, err := NewIssuer(issuerName, key)
	if err != nil {
		t.Fatal(err)
	}
	f.requests = &Requests{Issuer: issuer, Audiences: []string{issuerName}, Objects: f.objects, Clock: f.clock}
	f.verifier, err = NewVerifier([]string{issuerName}, []string{issuerName}, []crypto.PublicKey{key.Public()}, f.objects, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) token(t testing.TB, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	r, err := f.requests.Create(t.Context(), "n", "sa", &authenticationv1.TokenRequest{Spec: spec}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.Token
}

func bound(kind, name string) authenticationv1.TokenRequestSpec {
	return authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kind, Name: name}}
}

func TestTokenOfPod(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	u, valid, err := f.verifier.AuthenticateToken(t.Context(), f.token(t, bound("Pod", "pod")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.Name != "system:serviceaccount:n:sa" || u.UID != "uid-sa" || !slices.Equal(valid, []string{issuerName}) ||
		!slices.Equal(u.Groups, []string{"system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"}) {
		t.Errorf("user %+v, audiences %v", u, valid)
	}
	for k, want := range map[string]string{ExtraPodName: "pod", ExtraPodUID: "uid-pod", ExtraNodeName: "node", ExtraNodeUID: "uid-node"} {
		if got := u.Extra[k]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q", k, got)
		}
	}
	if id := u.Extra[ExtraCredentialID]; len(id) != 1 || !strings.HasPrefix(id[0], "JTI=") {
		t.Errorf("credential id %q", id)
	}
}

func TestTokenEnds(t *testing.T) {
	t.Parallel()
	old := metav1.NewTime(time.Date(2026, 4, 30, 0, 0, 0, 0, time.UTC))
	tests := map[string]struct {
		spec   authenticationv1.TokenRequestSpec
		change func(f *fixture)
		want   string
	}{
		"expired":              {want: "service account token has expired", change: func(f *fixture) { f.clock.Step(62 * time.Minute) }},
		"from the future":      {want: "service account token is not valid yet", change: func(f *fixture) { f.clock.Step(-time.Hour) }},
		"account deleted":      {want: `things "sa" not found`, change: func(f *fixture) { f.sa = nil }},
		"account deleting":     {want: "service account n/sa has been deleted", change: func(f *fixture) { f.sa.DeletionTimestamp = &old }},
		"account made again":   {want: "service account UID (other) does not match claim (uid-sa)", change: func(f *fixture) { f.sa.UID = "other" }},
		"pod deleted":          {spec: bound("Pod", "pod"), want: "service account token has been invalidated", change: func(f *fixture) { f.pod = nil }},
		"pod long terminating": {spec: bound("Pod", "pod"), want: "service account token has been invalidated", change: func(f *fixture) { f.pod.DeletionTimestamp = &old }},
		"pod made again":       {spec: bound("Pod", "pod"), want: "pod UID (other) does not match service account pod ref claim (uid-pod)", change: func(f *fixture) { f.pod.UID = "other" }},
		"secret deleted":       {spec: bound("Secret", "secret"), want: "service account token has been invalidated", change: func(f *fixture) { f.secret = nil }},
		"secret made again":    {spec: bound("Secret", "secret"), want: "secret UID (other) does not match service account secret ref claim (uid-secret)", change: func(f *fixture) { f.secret.UID = "other" }},
		"node deleted":         {spec: bound("Node", "node"), want: "service account token has been invalidated", change: func(f *fixture) { f.node = nil }},
		"node made again":      {spec: bound("Node", "node"), want: "node UID (other) does not match service account node ref claim (uid-node)", change: func(f *fixture) { f.node.UID = "other" }},
		"other audience":       {spec: authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}}, want: `token audiences ["vault"] is invalid for the target audiences ["` + issuerName + `"]`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			tok := f.token(t, test.spec)
			if test.change != nil {
				// It is good before, so that the verdict is remembered.
				if _, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); err != nil {
					t.Fatal(err)
				}
				test.change(f)
			}
			u, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil)
			if u != nil || err == nil || err.Error() != test.want {
				t.Errorf("got %v, %v; want %q", u, err, test.want)
			}
		})
	}
}

func TestForeignTokens(t *testing.T) {
	t.Parallel()
	f, g := setUp(t), setUp(t)
	if u, _, err := f.verifier.AuthenticateToken(t.Context(), g.token(t, authenticationv1.TokenRequestSpec{}), nil); u != nil || err == nil {
		t.Errorf("signed by another key: %v %v", u, err)
	}
	g.requests.Issuer, _ = NewIssuer("https://elsewhere.example", g.key)
	for _, tok := range []string{"", "x", "a.b.c", "a.b", strings.Repeat("a.", 1000), g.token(t, authenticationv1.TokenRequestSpec{})} {
		if u, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); u != nil || err != nil {
			t.Errorf("%.20q: %v %v", tok, u, err)
		}
	}
	good := f.token(t, authenticationv1.TokenRequestSpec{})
	for i := range len(good) {
		bad := []byte(good)
		if bad[i] == '.' {
			continue
		}
		// The last character of each part has bits that mean nothing.
		if i+1 == len(good) || good[i+1] == '.' {
			continue
		}
		bad[i] ^= 1
		if u, _, _ := f.verifier.AuthenticateToken(t.Context(), string(bad), nil); u != nil {
			t.Fatalf("accepted with character %d changed", i)
		}
	}
}

func TestExtendedToken(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	seconds := int64(3607)
	spec := bound("Pod", "pod")
	spec.ExpirationSeconds = &seconds
	tok := f.token(t, spec)
	check := func(stale bool) {
		t.Helper()
		if _, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); err != nil {
			t.Error(err)
		}
		if got := f.verifier.Stale(tok); got != stale {
			t.Errorf("stale: %v", got)
		}
	}
	check(false)
	f.clock.Step(3 * time.Hour)
	check(true)
	f.clock.Step(366 * 24 * time.Hour)
	if _, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); err == nil {
		t.Error("good for ever")
	}
}

func TestRequestErrors(t *testing.T) {
	t.Parallel()
	n := func(i int64) *int64 { return &i }
	tests := map[string]struct {
		req  authenticationv1.TokenRequest
		sa   string
		want string
	}{
		"name":     {req: authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, want: `TokenRequest.authentication.k8s.io "sa" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified`},
		"short":    {req: authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: n(5)}}, want: `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes`},
		"long":     {req: authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: n(1<<32 + 1)}}, want: `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`},
		"kind":     {req: authenticationv1.TokenRequest{Spec: bound("ConfigMap", "x")}, want: "cannot bind token to object of type /v1, Kind=ConfigMap"},
		"other sa": {sa: "sa2", req: authenticationv1.TokenRequest{Spec: bound("Pod", "pod")}, want: `cannot bind token for serviceaccount "sa2" to pod running with different serviceaccount name.`},
		"uid": {req: authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "pod", UID: "z"}}},
			want: `Operation cannot be fulfilled on Pod "pod": the UID in the bound object reference (z) does not match the UID in record. The object might have been deleted and then recreated`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			sa := "sa"
			if test.sa != "" {
				sa = test.sa
				f.sa.Name = sa
			}
			_, err := f.requests.Create(t.Context(), "n", sa, &test.req, nil, nil)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	f := setUp(t)
	f.requests.MaxExpiration = time.Hour
	var warned string
	r, err := f.requests.Create(t.Context(), "n", "sa", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: n(9000)}}, nil, func(s string) { warned = s })
	if err != nil || warned != "requested expiration of 9000 seconds shortened to 3600 seconds" || !r.Status.ExpirationTimestamp.Time.Equal(f.clock.Now().Add(time.Hour)) {
		t.Errorf("%v, warned %q", err, warned)
	}
}

func TestLegacyToken(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: f.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := jwt.Signed(s).Claims(legacyClaims{
		Claims: jwt.Claims{Issuer: legacyIssuer, Subject: "system:serviceaccount:n:sa"}, Namespace: "n", Secret: "secret", Account: "sa", AccountUID: "uid-sa",
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); err == nil {
		t.Error("accepted without being in the secret")
	}
	f.secret.Data = map[string][]byte{"token": []byte(tok)}
	if u, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); err != nil || u.Name != "system:serviceaccount:n:sa" {
		t.Errorf("%v %v", u, err)
	}
	f.secret = nil
	if _, _, err := f.verifier.AuthenticateToken(t.Context(), tok, nil); err == nil {
		t.Error("accepted without the secret")
	}
}

// A token is verified by what the discovery documents say.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	d, err := NewDiscovery(issuerName, "", []crypto.PublicKey{f.key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d.Configuration(w, nil)
	var c map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || c["jwks_uri"] != issuerName+"/openid/v1/jwks" || c["issuer"] != issuerName {
		t.Errorf("configuration %s %v", w.Body, err)
	}
	w = httptest.NewRecorder()
	d.JWKS(w, nil)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	tok, err := jwt.ParseSigned(f.token(t, authenticationv1.TokenRequestSpec{}), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := tok.Claims(set, &got); err != nil || got["sub"] != "system:serviceaccount:n:sa" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := NewDiscovery("kubernetes/serviceaccount", "", nil); err == nil {
		t.Error("an issuer that is no URL")
	}
}

func TestSplitUsername(t *testing.T) {
	t.Parallel()
	if ns, n, ok := SplitUsername(Username("a", "b")); !ok || ns != "a" || n != "b" {
		t.Error(ns, n, ok)
	}
	for _, bad := range []string{"", "a", "system:serviceaccount:a", "system:serviceaccount:a:", "system:serviceaccount::b", "system:serviceaccount:a:b:c"} {
		if _, _, ok := SplitUsername(bad); ok {
			t.Error(bad)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	f := setUp(b)
	tok := f.token(b, bound("Pod", "pod"))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if u, _, _ := f.verifier.AuthenticateToken(ctx, tok, nil); u == nil {
			b.Fatal("unknown")
		}
	}
}

// Whatever is sent as a token, it is refused or it is the one that was issued.
func FuzzAuthenticate(f *testing.F) {
	x := setUp(f)
	good := x.token(f, bound("Pod", "pod"))
	for _, seed := range []string{good, "", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", good + "x", strings.Repeat(".", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		u, _, err := x.verifier.AuthenticateToken(t.Context(), token, nil)
		if u != nil && (err != nil || u.Name != "system:serviceaccount:n:sa" || !strings.HasPrefix(token, good[:strings.LastIndex(good, ".")])) {
			t.Errorf("accepted %q as %+v, %v", token, u, err)
		}
	})
}
