// Package etcd is the store in etcd v3, laid out as upstream's API server lays
// it out, so that either can take over the data of the other.
//
// [Open] starts an etcd inside the process, or connects to an external one
// where servers are given. Both are used through the same client interface;
// the embedded server is called directly, without a network hop and without a
// listener of any kind. It always syncs its log to disk before a write is
// acknowledged.
//
//	store.go     the operations: the transactions that upstream uses
//	watch.go     one watch on one stream
//	lease.go     times to live, by leases that many keys share
//	compact.go   forgetting history, agreed on between all API servers
//	embedded.go  an etcd in this process
//	external.go  an etcd elsewhere
//	dir.go       the data directory: its lock, its format, its space
//	errors.go    the only place that knows etcd's errors
//	log.go       etcd's log, as slog
//
// An embedded etcd that meets an error it cannot survive (its disk is full or
// fails) does not end the process as etcd by itself would: [Store.Failed] is
// closed, [Store.Err] says why, and every operation fails. The process should
// end and be started again.
//
// Defragmentation, alarms and membership are left to the administrator and to
// etcdctl, which can be pointed at Options.ListenClients.
package etcd
