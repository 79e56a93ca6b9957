// Package customresource keeps the status of CustomResourceDefinitions, and ends
// them.
//
//	decide.go    names: who of a group may have which, first come, first served;
//	             conditions: NamesAccepted, Established, approval of protected
//	             groups, schemas that break the rules
//	finalize.go  deletes all objects of a definition before it goes
//
// A definition is established in the same write that accepts its names; the
// server serves what its cache shows to be established, so nothing has to wait.
// It stays established if it loses a name later.
//
// Both loops run beside each API server, as they do upstream, since whoever runs
// the other controllers does not have them. Several servers may decide at once:
// writes carry the resourceVersion, and the later one looks again.
package customresource
