// Package rbac authorizes by the roles and bindings that are stored in the
// cluster.
//
// An [Index] holds what the objects amount to, arranged for the question that
// every request asks: may this user do that? It is kept by events, one object
// at a time, and each event costs what it changes and nothing more:
//
//   - a role is a cell that bindings point to, so a changed role is one atomic
//     store, however many bindings name it;
//   - a binding changes the lists of its own subjects only, which are replaced,
//     never edited.
//
// A question takes a few map lookups (the user and each of its groups, cluster
// wide and in the namespace) and compares strings; it locks nothing that a
// writer holds for long, and allocates nothing.
//
// Objects are read, never changed, and may be shared with a cache.
//
// [Index.Authorize] is the authorizer. [Index.RulesFor] lists what a user may
// do, for SelfSubjectRulesReview and for [Index.ConfirmNoEscalation], by which
// nobody grants what he does not have. [Aggregate] computes the rules of
// aggregated cluster roles. The default policy is in the package bootstrap
// below this one.
package rbac
