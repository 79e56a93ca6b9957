// Package bootstrap holds the roles and bindings that every cluster is born
// with, as upstream v1.36 has them, and brings a cluster to have at least
// them.
//
// [Default] is the policy as data. [Plan] compares it with what a cluster has
// and returns the writes that are missing: it adds rules and subjects, never
// takes any away, and leaves alone whatever carries the annotation
// rbac.authorization.kubernetes.io/autoupdate: "false". [Ensure] makes those
// writes.
package bootstrap
