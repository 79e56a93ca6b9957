// Package audit logs who asked the API for what, and what came of it, as
// audit.k8s.io/v1 events.
//
//	policy.go   which requests are logged, at which level
//	record.go   Record: one request on its way through the server
//	file.go     a file of JSON lines, which is rotated
//	webhook.go  batches of events, posted to a server
//
// A request becomes an event up to three times: when it has been received, when
// the answer to a long-running one has begun, and when it has been answered (or
// has panicked). The level says how much of it is logged: Metadata, the object
// of the Request as well, or that of the Response too.
//
// The file is written before the client has its answer; the webhook is told
// later, from a bounded queue, and what does not fit is lost and counted.
//
// Without a policy nothing is logged, and requests pay nothing.
package audit
