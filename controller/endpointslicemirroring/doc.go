// Package endpointslicemirroring copies the Endpoints that users write for
// services without a selector into EndpointSlices, which is where service proxies
// and DNS look.
//
// Endpoints that carry the label endpointslice.kubernetes.io/skip-mirror, that
// serve as a lock of a leader election, or whose service does not exist or has a
// selector are not mirrored; slices that were made of them go. Of each subset the
// first thousand addresses are mirrored, ready ones first.
package endpointslicemirroring
