// Package apiserver is the server of the API: it takes a request from the wire
// (or from package local, without one) through one short chain and answers it.
//
//	recover ▶ audit id ▶ parse ▶ authenticate ▶ audit ▶ impersonate ▶ limit ▶
//	authorize ▶ deadline ▶ dispatch
//
// Each concern is one file, and the order stands in [New]. Dispatch sends
// requests for resources to package rest, and the rest to discovery, health,
// metrics, version or what was mounted. A handler returns an error instead of
// writing one; the chain turns it into a metav1.Status in one place.
//
// The server holds no state of its own beside counters: several can run beside
// each other over one store.
package apiserver
