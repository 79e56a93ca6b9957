// Package edge is the reverse proxy by which what runs in a cluster is reached
// over HTTP from outside, on one node. It knows hosts, paths, certificates and
// endpoints, and no object of the API: network/ingress fills its table from
// Ingresses, and another room may fill it from something else.
//
//		connection ─▶ certificate by SNI ─▶ Table.Find(host, path) ─▶ Backend ─▶ endpoint
//
//	  - [Table] is pure and never changed once made: a new one replaces it in one
//	    step, while requests that have found their action go on.
//	  - [Backend] is a set of endpoints that changes under the table, so that a pod
//	    that comes or goes costs no new table.
//	  - [Proxy] answers requests; [Proxy.Serve] listens.
//
// # Which action a request finds
//
// The host decides first: a rule for it, else a rule for its wildcard (which
// stands for exactly one label), else the rules without a host. Then the path: an
// exact one, else the prefix of the most elements. Where the host has no such path
// its fallback is taken, then that of the table, and else the answer is 404. A rule
// of one host is never answered by those of another.
//
// Paths are compared element by element as the client sent them, so that an
// encoded slash is no separator; a path that another server might read as another
// one (dot segments, encoded or not, control characters) is refused with 400.
//
// # What it keeps to
//
//   - What a client says of itself is not believed: X-Forwarded-*, Forwarded and
//     X-Real-IP are taken away, in every spelling, and set anew. Headers of one hop
//     end here, whatever the client lists as such.
//   - A request for a host whose certificate is another than that of the
//     connection is answered 421, so that a connection that a browser reuses does not
//     lead past what the other host's certificate would say.
//   - Bodies are streamed, never kept. A request is tried on another endpoint only
//     if no connection to the first could be made, that is, if nothing was sent.
//   - Headers, connections, requests and streams are bounded, and so is the time for
//     which a client may say nothing in the middle of a request. Streams that have
//     begun, and WebSockets, last as long as both sides want.
//   - It listens only while it is told to.
//   - Endpoints that are asked for in TLS are not verified: there is no name or
//     authority by which they could be.
package edge
