// Package garbage deletes objects whose owners are gone, and carries out what a
// deletion with propagation asks for.
//
//	graph.go     who owns whom, from the metadata of every object
//	decide.go    what is to be done with one object, given its owners
//	garbage.go   keeps the graph, and works on what it gives rise to
//	resources.go watches every resource of the server, as discovery tells
//	apply.go     looks at live objects, and deletes or patches them
//
// # Propagation
//
// Background: the owner goes at once; its dependents are found to have a
// dangling owner and follow. Foreground: the owner waits, with a finalizer,
// until the dependents that block it are gone. Orphan: the owner waits, with a
// finalizer, until it has been taken off its dependents' lists of owners.
//
// # What is never done
//
// Nothing is deleted on the word of the graph alone: an owner counts as gone
// only when the API server says so at that moment, by name and uid. An owner
// reference that cannot mean anything (a namespaced owner of a cluster-scoped
// object, an owner that is known under another name or in another namespace) or
// whose kind the server does not know never leads to a deletion; it is told in
// an event or tried again later.
package garbage
