// Package jwt authenticates the tokens of OpenID Connect issuers elsewhere, as a
// JWTAuthenticator of an AuthenticationConfiguration says: who signs, for which
// audience, which claims must hold, and how they become a user, by name or by CEL.
//
// The verification is the library's (k8s.io/apiserver, over go-oidc). What is ours
// is how issuers are reached: over TLS only, with the authorities of the
// configuration or the system's, within a time limit, redirected to nowhere but
// TLS, and with answers that are bounded. An issuer is asked for its keys when it
// is first needed, and again for a key that is not known.
package jwt
