// Package crds enters what CustomResourceDefinitions define into the table, and
// takes it out again.
//
// A [Follower] watches the definitions in the cache. One whose names were
// accepted, or that was established before, gets a row (resource/custom); a
// change of its spec or of its accepted names replaces the row, and ends the
// watches on it. Everything else follows the table: routing, discovery, OpenAPI,
// caches.
//
// Clients learn of an established definition by the same events as the follower,
// and may be faster. [Follower.Sync] lets a request that finds no row, or that
// asks what there is, wait until all that the cache has seen was entered.
//
// [Controllers] are the loops that accept names, keep conditions and end
// definitions; every API server runs them beside itself.
package crds
