// Package informer feeds client-go's informers from the cache of the same
// process: no HTTP, no decoding, and the very objects that the cache holds.
//
// [NewFactory] is a drop-in for informers.NewSharedInformerFactory. Controllers
// take their informers from it in the usual way,
//
//	pods := factory.Core().V1().Pods()
//	pods.Informer().AddEventHandler(…)
//
// and cannot tell where the objects come from. Kinds that the resource table
// does not serve fall back to the client.
//
// The objects are shared with every reader of the cache. They must not be
// changed: a controller copies what it wants to write. Hub.Mutated finds out
// in tests who did not.
package informer
