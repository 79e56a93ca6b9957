// Package replicaset keeps as many pods as a ReplicaSet, or a
// ReplicationController, asks for.
//
// Both kinds are the same to the decision: a [set] is what they have in
// common, and a kind (kind_rs.go, kind_rc.go) says how one is read and how its
// status is written.
package replicaset
