// Package admission changes and refuses writes by rules that are not those of
// one kind. Each plugin is a package of its own below this one, carries the
// name that upstream gives it, and is put into the [Chain] explicitly where
// the API server is wired.
//
// A request passes all mutators in order, then validation of its kind, then
// all validators in order; the first error ends it. Reads do not pass here.
// A mutator that lets others decide (a webhook, a policy) may ask for a second
// pass over all of them, so that those who saw the object before it was changed
// see what has become of it.
//
// Plugins work on the stored version, or on the object as it reads in another
// one: a [View].
//
// A plugin learns of other objects through narrow interfaces of its own,
// served from the watch cache.
package admission
