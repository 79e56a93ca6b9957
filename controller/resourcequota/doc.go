// Package resourcequota adds up what each namespace uses, and writes it to the
// status of its quotas, by which the admission plugin of the same name admits.
//
// Usage goes up in admission, before the object is stored; this controller
// brings it down when something is deleted or ends, and sets it right where a
// charge was for something that came to nothing. A count of what is stored
// does not know of requests that have been charged and are not stored yet. So
// usage is only lowered once the quota has been left alone for a moment, which
// is longer than such a request takes, and on condition that it has not been
// charged since.
//
// Pods, services and claims are counted from the informers that all
// controllers share. For the number of objects of another kind, an informer of
// their metadata is started when the first quota names it.
package resourcequota
