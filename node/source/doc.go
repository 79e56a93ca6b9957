// Package source brings pods to the node, from four places: the API server, a
// folder of manifest files, an HTTP URL, and manifests pushed over HTTP.
//
// Every source calls a [Sink]: Set for a pod that is new or changed, Remove for
// one that is wanted no more, Synced once when it has told everything it knew at
// the start. Only when all sources have spoken may the agent end pods that none
// of them named.
//
// Pods that do not come from the API server are static: they run without it.
// [Static] gives them their names, UIDs and annotations, all derived from the
// manifest and the node's name, so that a restart finds the same pods. For
// each, [Mirrors] keeps a mirror pod in the API, by which others can see it.
package source
