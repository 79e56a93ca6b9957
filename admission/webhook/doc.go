// Package webhook is the plugins MutatingAdmissionWebhook and
// ValidatingAdmissionWebhook: it lets others, over HTTPS, change or refuse what
// is written.
//
//	configurations ─▶ hooks, compiled once ─▶ match ─▶ conditions ─▶ call ─▶ verify ─▶ patch
//	                  (package derived)       rules,   CEL           package  uid,      and
//	                                          labels                 callout  form      default
//
// Mutating webhooks are called one after another, in the order of their
// configurations' names, each with what those before have made of the object;
// validating ones all at once. A webhook that cannot be asked, or whose answer
// makes no sense, counts by its failure policy. One that says no says it with
// its own status.
//
// No webhook is asked about the configuration of admission itself: whatever a
// webhook does, it can be taken away again.
//
// A write that no webhook is about costs a look at the rules, and nothing where
// there are no configurations.
package webhook
