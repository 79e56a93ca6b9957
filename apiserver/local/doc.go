// Package local reaches the API server without a wire: a [Transport] for
// client-go that calls the handler chain directly, as a given user. There are
// no sockets, no TLS and no HTTP framing, but the same chain, so that
// authorization, admission and metrics hold as over the wire.
//
// Responses that end at once are handed over as bytes. A watch, or any other
// handler that flushes before it ends, continues beside its reader over a
// bounded pipe and ends with the request's context or when the body is closed.
package local
