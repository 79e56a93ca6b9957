// Package patch applies patches: JSON patch (RFC 6902), JSON merge patch
// (RFC 7386) and strategic merge patch. It works on encodings and maps of one
// object and knows nothing of how objects are stored; server-side apply is in
// package managed, since it is about ownership.
//
// Every patch is bounded: the number of operations, the bytes that copies may
// add, and the nesting of the document.
package patch
