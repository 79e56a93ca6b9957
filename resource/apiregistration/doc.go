// Package apiregistration holds the row of apiregistration.k8s.io/v1: API
// services, each of which says who serves a version of a group: this server
// itself, or the server behind a service of the cluster.
//
// The types are written here, with the JSON of upstream's, since those of its
// aggregator come with a server. They have no protobuf form; objects are stored
// as JSON, as upstream stores them. Package apiserver/aggregator goes by them.
package apiregistration

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition { return []*resource.Definition{APIServiceRow()} }
