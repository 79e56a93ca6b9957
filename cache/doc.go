// Package cache is the one copy of the state: everything that reads objects
// reads them here.
//
// A [Hub] watches the store once, under /registry/, and feeds one [Cache] per
// resource. A cache is loaded when it is first asked for (or by [Hub.Warm]) and
// follows the store from then on. Keys of resources nobody asked for pass by.
//
//	store ──one watch──▶ Hub ──▶ Cache(pods)  ──▶ B-tree, indexes   ──▶ Get, List
//	                        ├──▶ Cache(nodes) ──▶ event log, topics ──▶ Watch.Next
//	                        └──▶ …
//
// # Entries
//
// An [Entry] is one object at one revision. It is immutable and shared by all
// readers: the decoded object, the bytes it was stored as, and whatever wire
// forms were made of it, each once ([Entry.Encoding]). Nobody may change an
// object that came from here; make a copy first. Tests hold everybody to it
// ([Hub.Mutated]).
//
// Writes go through the cache too ([Cache.Create], [Cache.Update],
// [Cache.Delete]): they go straight to the store, and the object that was just
// encoded is kept at hand until its event comes back, so that it is not
// decoded again.
//
// # Revisions
//
// The hub knows the revision up to which it has seen everything, also when the
// events were of other resources. A read at [Latest] asks the store for its
// revision and waits until the hub has reached it; many readers share one
// question. [Any] reads what there is. [NotOlder] waits for a revision and
// fails with a [FutureError] if it does not come. [Exact] reads the past: the
// tree is a copy-on-write B-tree, and the event log undoes what came later, so
// pages of one list all show one revision without copies and without the store.
//
// # Watches
//
// Every cache keeps a bounded log of its last events, from which a watch
// resumes; one that is older gets an [ExpiredError]. A watch has no buffer of
// its own. It is a position in a chain of events that all watches of the same
// topic share (everything, one namespace, one object, or one value of an
// indexed field, such as the pods of one node), and is pulled by its reader
// with [Watch.Next]. An event costs the hub one link per topic, however many
// watch. A reader that falls too far behind loses its position and is told so;
// it delays nobody.
//
// When the store cannot continue the hub's own watch, the caches are listed
// anew and the difference is delivered as events in order, so watches go on.
//
// # Corrupt objects
//
// A value that cannot be decoded is logged and kept as an entry with an error.
// Reading it, or a list that contains it, fails with a [CorruptError] that
// names the key; everything else works. Watches do not see it: for them the
// object stays as it last was.
//
// A [Transformer] may encrypt values in the store (package encryption). One for
// which there is no key is corrupt too, until there is and [Hub.Reread] looks at it
// again. A value whose key is to be exchanged is stale ([Cache.Stale]): it is
// written at the next update, even if that changes nothing.
package cache
