// Package rest carries out the verbs: get, list, watch, create, update, patch,
// delete and deletecollection, on any definition of the table and on those of
// its subresources that write a part of the object.
//
// # A write
//
//	decode, default          the body, in the served version
//	convert                  to the stored version
//	managed fields           who owns what (package managed)
//	mutating admission
//	PrepareCreate / -Update  the kind's own rules of what may be touched
//	validate                 metadata, then the kind
//	validating admission
//	store                    compare-and-swap; on a conflict begin again from
//	                         the present object, unless the client named a
//	                         resourceVersion
//
// A write that would change nothing is not made. What was stored comes back as
// an entry of the cache, from which the response is encoded; the same bytes
// then serve every reader of that revision.
//
// # A read
//
// Reads are served by the cache and send its encodings: a list is put together
// from the encodings of its items, without a typed list in between.
//
// [API] also offers its verbs as methods, to those subresources that are built
// upon other objects (binding, eviction, token).
package rest
