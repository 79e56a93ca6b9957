// Package authtest has the other side of what authenticates and authorizes: an
// issuer of tokens and a webhook, over TLS with certificates of their own, for
// tests.
package authtest
