// Package managed keeps metadata.managedFields: which manager owns which
// fields of an object. A [Tracker] records ownership after creates, updates
// and patches, and merges server-side apply.
//
// The schema (which lists are sets, maps or atomic) is that of client-go's
// apply configurations. It takes a tenth of a second to parse, so a Tracker
// starts on it in the background when it is made, and waits for it at the
// first write only.
package managed
