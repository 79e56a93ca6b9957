// Package respond writes responses: bodies of known bytes, compressed where
// that pays, and errors as the metav1.Status that every client expects, in the
// format it asked for.
package respond
