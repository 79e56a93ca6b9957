// Package statefulset keeps the numbered pods of a StatefulSet, each with its
// own name and claims.
//
// Unless the set is Parallel, pods are made in order, each once its predecessor
// is available, and removed in reverse order. A change of the template replaces
// one pod at a time, from the highest number down to the partition, the next
// once all above are available. Templates are told apart by revisions
// (controller/revision): below the partition pods are made from the current
// one, above from the one to be updated to.
//
// Claims are made before the pod that uses them, and kept. Only where the set's
// retention policy says so do they get owners, and with these an end: the set
// itself, or the pod once it has been scaled away.
//
// No two pods of one name ever run: a new one is made when the old one is gone
// from the API, which it is when its node says so.
package statefulset
