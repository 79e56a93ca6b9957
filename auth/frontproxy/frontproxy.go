// Package frontproxy authenticates requests that a front proxy passes on: one
// that shows a certificate of the authority of front proxies, under one of the
// names allowed, is believed when it says in headers whose request it is.
//
// Nobody else is: without such a certificate the headers mean nothing. They are
// taken out of the request once they have been used.
package frontproxy

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k8s.io/utils/clock"

	"proa/auth"
	x509auth "proa/auth/x509"
)

// Headers in which a front proxy says who asks.
const (
	UserHeader  = "X-Remote-User"
	UIDHeader   = "X-Remote-Uid"
	GroupHeader = "X-Remote-Group"
	// ExtraPrefix is followed by the key of an extra field.
	ExtraPrefix = "X-Remote-Extra-"
)

// Authenticator is an [auth.Authenticator] of what front proxies say.
type Authenticator struct {
	proxies *x509auth.Authenticator
	names   []string
}

// New makes an authenticator that believes proxies with a certificate of the
// roots at the time, under one of the names; of any name where there are none.
func New(roots func() *x509.CertPool, names []string, c clock.PassiveClock) *Authenticator {
	return &Authenticator{proxies: x509auth.New(roots, c), names: names}
}

// Authenticate implements [auth.Authenticator].
func (a *Authenticator) Authenticate(r *http.Request) (*auth.User, error) {
	name := r.Header.Get(UserHeader)
	if name == "" || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	proxy, err := a.proxies.Authenticate(r)
	if err != nil || proxy == nil {
		// Another kind of client, which may say what it likes.
		return nil, nil //nolint:nilerr // its certificate is for others to judge
	}
	if len(a.names) > 0 && !slices.Contains(a.names, proxy.Name) {
		return nil, fmt.Errorf("x509: subject with cn=%s is not in the allowed list", proxy.Name)
	}
	u := &auth.User{Name: name, UID: r.Header.Get(UIDHeader), Groups: slices.Clone(r.Header.Values(GroupHeader))}
	for h, values := range r.Header {
		key, ok := strings.CutPrefix(h, ExtraPrefix)
		if !ok {
			continue
		}
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[strings.ToLower(key)] = slices.Clone(values)
		r.Header.Del(h)
	}
	for _, h := range []string{UserHeader, UIDHeader, GroupHeader} {
		r.Header.Del(h)
	}
	return u, nil
}
