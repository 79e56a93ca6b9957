// Package protection keeps persistent volume claims, persistent volumes and
// volume attributes classes while they are in use: they carry a finalizer from
// their birth (package admission/storageprotection), and the controllers here
// take it away from what is to be deleted once nothing uses it.
//
//	claim    in use by every pod that has a node and names it, finished or not,
//	         and by the pod that it was made for until that has finished
//	volume   in use while it is bound
//	class    in use by claims and volumes that have it, are getting it or have
//	         asked for it
//
// Nothing but finalizers is written. That something is no longer in use is asked
// of the API server before it counts, for a cache may lag behind.
package protection
