// Package resource is the table from which the whole API derives.
//
// Every served resource is one [Definition]. A definition is written by hand
// as a [Row], typed by the Go struct that is stored, in the one file of its
// kind (resource/core/pod.go, resource/apps/deployment.go, …), and
// resource/builtin lists them all. Routing, discovery, OpenAPI, RBAC names,
// storage keys, watch caches, tables, garbage collection and quota read the
// table and nothing else, so adding an API is one row and one file.
//
// There is no internal hub type. The storage version from k8s.io/api is the
// type that every part works on; another served version is a [Version] of the
// same row, which converts losslessly to and from it.
//
// # How a request moves through a row
//
//	create: decode → Default → mutating admission → PrepareCreate → Validate
//	        → validating admission → store
//	update: decode → Default → mutating admission → PrepareUpdate →
//	        ValidateUpdate → validating admission → store
//	update of a subresource: the same with the hooks of its [Update]
//	delete: Graceful decides whether the object first gets a deletion
//	        timestamp or goes at once; finalizers hold it in any case
//
// Hooks are pure: they read the clock and the user from [Request], never from
// the environment, and never keep a reference to an object. An old object
// passed to a hook is shared with the cache and must not be changed.
//
// # Where things are
//
//	resource/<group>       the rows of a group, one file per kind
//	resource/builtin       the list of all rows
//	resource/check         validation rules that kinds of several groups share
//	resource/columns       how columns are declared and cells written
//	resource/resourcetest  what must hold of every row, and table tests of one
//
//	resource/custom        rows that are made of CustomResourceDefinitions
//
// A [Table] holds the definitions. It is copied on write, so readers never
// lock, and custom resources come and go while it is in use: a definition with
// [Dynamic] has no Go type, and brings what others read off theirs.
package resource
