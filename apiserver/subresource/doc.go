// Package subresource holds the handlers that the API server itself needs for
// package connect: binding and eviction of pods, which are built upon other
// verbs, tokens of service accounts, and the reviews, which are answered from
// the server's own authenticator and authorizer.
//
// [Pods] is always served; the others take what they stand on.
package subresource
