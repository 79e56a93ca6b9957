// Package resourcequota adds up what each namespace uses, and writes it to the
// status of its quotas, by which the admission plugin of the same name admits.
//
// Usage goes up in admission, before the object is stored; this controller
// brings it down when something is deleted or ends, and sets it right where a
// charge was for something that came to nothing. It is never too low, or else
// more would be admitted than the quota allows.
//
// A count of what is stored does not know of requests that have been charged and
// are not stored yet, however long their store takes. So what is given back at once
// is only what was seen to go: each object once, when its event comes (books.go
// keeps account). A count alone lowers the usage to what is stored and what was
// charged in the last seconds, which is longer than a request is under way. Every
// write is on condition that nobody has charged meanwhile.
//
// Pods, services and claims are counted from the informers that all
// controllers share. For the number of objects of another kind, an informer of
// their metadata is started when the first quota names it.
package resourcequota
