// Package guard decides who may use the agent's own HTTPS API. Client
// certificates are checked here against the clients' CA; bearer tokens, and
// whether a user may do something, are asked of the API server by TokenReview and
// SubjectAccessReview. Answers are kept for a while in bounded caches, so a
// scraper costs one review in minutes, not one a request. Where nobody can be
// asked, nobody is let in.
package guard
