// Package auth says who a caller is and what it may do. It holds the words
// that the request path, the hooks of resources and every mechanism share;
// each mechanism is a package of its own below it.
//
// An [Authenticator] turns a request into a [User], or says that it knows
// nothing of the credentials, and the next one is asked. An [Authorizer] gives
// an opinion on [Attributes]; the first Allow or Deny wins, and no opinion
// from anybody means no.
package auth
