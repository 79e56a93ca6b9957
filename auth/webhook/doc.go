// Package webhook asks a server elsewhere who somebody is (TokenReview), or what
// somebody may do (SubjectAccessReview).
//
// The server is named by a kubeconfig. It is reached over TLS, is not followed
// where it redirects, and its answers are bounded in size and time. The reviews
// themselves are the library's (k8s.io/apiserver): a few attempts with back-off,
// match conditions in CEL, and a cache of decisions.
package webhook
