// Package token authenticates bearer tokens: it takes them out of requests and
// asks one or several [auth.TokenAuthenticator]. [Cache] remembers answers for
// mechanisms that are slow, in bounded memory and without the tokens.
package token

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"proa/auth"
)

// Union asks each mechanism in order. The first user wins; where nobody knows
// the token, all errors are returned.
type Union []auth.TokenAuthenticator

// AuthenticateToken implements [auth.TokenAuthenticator].
func (u Union) AuthenticateToken(ctx context.Context, token string, audiences []string) (*auth.User, []string, error) {
	var errs []error
	for _, a := range u {
		user, valid, err := a.AuthenticateToken(ctx, token, audiences)
		if err != nil {
			errs = append(errs, err)
		} else if user != nil {
			return user, valid, nil
		}
	}
	return nil, nil, errors.Join(errs...)
}

// ErrInvalid says that a request carries a token that nobody knows.
var ErrInvalid = errors.New("invalid bearer token")

// Bearer is an [auth.Authenticator] of the token in a request's Authorization
// header, or in the subprotocol of a WebSocket, where browsers have to put it.
// The token is removed once it has been accepted.
type Bearer struct{ Tokens auth.TokenAuthenticator }

// Authenticate implements [auth.Authenticator].
func (b Bearer) Authenticate(r *http.Request) (*auth.User, error) {
	if token, ok := fromHeader(r); ok {
		user, err := b.check(r.Context(), token)
		if user != nil {
			r.Header.Del("Authorization")
		}
		return user, err
	}
	if !isWebSocket(r) {
		return nil, nil
	}
	token, rest, ok, err := fromProtocol(r)
	if !ok || err != nil {
		return nil, err
	}
	user, err := b.check(r.Context(), token)
	if user != nil {
		r.Header.Set(protocolHeader, strings.Join(rest, ","))
	}
	return user, err
}

func (b Bearer) check(ctx context.Context, token string) (*auth.User, error) {
	user, _, err := b.Tokens.AuthenticateToken(ctx, token, nil)
	if user == nil && err == nil {
		err = ErrInvalid
	}
	return user, err
}

func fromHeader(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	token, _, _ = strings.Cut(token, " ")
	return token, token != ""
}

const (
	protocolHeader = "Sec-Websocket-Protocol"
	protocolPrefix = "base64url.bearer.authorization.k8s.io."
)

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// fromProtocol finds the token among the subprotocols. One other subprotocol
// is required, since the server has to choose one and must not repeat the
// token.
func fromProtocol(r *http.Request) (token string, rest []string, ok bool, err error) {
	for _, line := range r.Header[protocolHeader] {
		for _, p := range strings.Split(line, ",") {
			p = textproto.TrimString(p)
			coded, is := strings.CutPrefix(p, protocolPrefix)
			if !is {
				rest = append(rest, p)
				continue
			}
			if ok {
				return "", nil, false, errors.New("multiple base64.bearer.authorization tokens specified")
			}
			decoded, err := base64.RawURLEncoding.DecodeString(coded)
			if err != nil || !utf8.Valid(decoded) {
				return "", nil, false, errors.New("invalid base64.bearer.authorization token encoding")
			}
			token, ok = string(decoded), true
		}
	}
	if ok && len(rest) == 0 {
		return "", nil, false, errors.New("missing additional subprotocol")
	}
	return token, rest, ok && token != "", nil
}
