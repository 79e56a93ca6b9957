// Package status computes what the API shows of a pod, and writes it there.
//
// [Generate] is pure: from the desired pod, the runtime's view, the probes and
// the previous status it makes the next status, with upstream's phases,
// conditions, reasons and wording. [Writer] sends statuses to the API server:
// the newest status of a pod wins, an older one is never sent after it, nothing
// is sent when nothing changed, and a pod that has ended and is marked for
// deletion is finally deleted with grace period zero under a precondition on its
// UID.
package status
