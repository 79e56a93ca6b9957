// Package endpoints publishes the pods behind every service with a selector as
// Endpoints (core/v1), for clients that do not read EndpointSlices yet.
//
// decide.go computes the subsets: pods that resolve the service's ports alike
// share one, with their addresses sorted into ready and not ready. An object
// takes at most a thousand addresses and says when there were more.
package endpoints
