// Package store is the contract of the revisioned store under the API server,
// and the only door to it: nothing outside store/etcd imports etcd.
//
// The store maps keys to opaque bytes. Every write raises one revision counter
// by one; a key's ModRevision is the revision of its last write, and is the
// resourceVersion that clients see. What a write returned without error is
// durable. Watches deliver every change after a revision, in order, each once.
//
//	store/etcd       etcd v3: embedded in the process, or external by its client
//	store/memory     a twin in memory with the same rules and injected faults
//	store/storetest  the tests that every implementation passes
//
// The API server does not read from the store directly. Package cache watches
// it once and answers reads from memory; the store sees writes, one watch, and
// the few reads of old revisions that the cache no longer holds.
package store
