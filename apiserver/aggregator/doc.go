// Package aggregator makes other API servers part of this one, as API services
// say (resource/apiregistration).
//
//	aggregator.go  follows API services and the table: who serves what
//	local.go       the API services of what this server serves itself
//	checker.go     whether the server behind a service answers, and what it serves
//	proxy.go       passes requests on
//	openapi.go     the documents of other servers, in one index with this one's
//
// A request for a version that another server serves has been authenticated and
// authorized here. It is passed on with its user in the headers of a front proxy,
// over a connection that shows this server's certificate as one; nothing of the
// client's own credentials goes with it. The other server is verified by the
// authorities of its API service under the name SERVICE.NAMESPACE.svc. A redirect
// from it is refused (CVE-2022-3172), an upgrade is passed through.
//
// A server that does not answer its discovery is not available, and requests for
// it get 503 at once. It is asked again when its service or its endpoints change,
// and every half minute, since of its health there are no events.
package aggregator
