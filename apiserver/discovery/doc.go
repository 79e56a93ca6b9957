// Package discovery tells clients which groups, versions and resources there
// are: /api, /apis and what lies under them, in the old form with a document
// per version, and aggregated (apidiscovery.k8s.io/v2) with everything in two.
//
// All of it derives from the resource table. Documents are built once for each
// state of the table, and carry an ETag.
package discovery
