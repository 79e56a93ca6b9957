// Package serviceaccount issues and verifies the tokens by which pods, and
// the controllers, speak to the API.
//
// A token is a JWT, signed by the cluster's token key, that names a service
// account and, bound to it, a pod, a node or a secret. It says who may accept
// it (audiences) and until when.
//
//   - [Issuer] makes tokens; [Requests] answers the token subresource.
//   - [Verifier] is the token authenticator. The signature of a token is
//     checked once and remembered; whether the account and the bound object
//     still exist, with the same UIDs, is checked at every use, so that
//     deleting a pod ends its token at once.
//   - [Discovery] serves the documents by which others verify tokens
//     (/.well-known/openid-configuration and /openid/v1/jwks).
//
// Tokens of the old kind, kept in secrets, are accepted while their secret
// exists; none are made.
package serviceaccount
