// Package namespace empties namespaces that are being deleted.
//
// A namespace with a deletion timestamp takes in nothing new (admission sees to
// that). The controller deletes what is in it, of every kind that discovery
// knows, pods before all others, and looks again until nothing is left; then it takes the "kubernetes"
// finalizer away, and the namespace goes. What stands in the way is told in the
// namespace's conditions.
//
// A kind that cannot be listed keeps the namespace: what cannot be seen may
// still be there.
package namespace
