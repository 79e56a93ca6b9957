// Package endpointslice publishes the pods behind every service with a selector
// as EndpointSlices (discovery.k8s.io/v1).
//
// decide.go compares the endpoints that should be with the slices that are, and
// says which slices to create, update and delete. Endpoints stay in the slice
// that they are in, so that a change touches few slices; a slice takes at most
// a hundred. Pods that resolve a named port differently are in slices of their
// own, since a slice has one list of ports.
package endpointslice
