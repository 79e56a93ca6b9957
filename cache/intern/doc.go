// Package intern lets immutable objects share what they have in common.
//
// The objects of a cluster repeat themselves: the pods of one deployment
// differ in their names and addresses, and have the same images, probes,
// tolerations, resource maps and managed fields, each decoded anew. A [Pool]
// replaces such parts by an equal part that it has seen before.
//
// Parts are made canonical from the leaves up: strings first, then slices,
// maps and what pointers point to. Two parts whose own parts are canonical are
// equal exactly if their memory is, so that comparing costs no reflection.
// What is replaced is copied before, never written to: only the struct that is
// handed in must belong to the caller.
//
// The pool is bounded. It keeps two generations of what was asked for; parts
// that nobody has asked for during a whole generation are dropped.
//
// This package uses unsafe, to read and to fill memory by type without the
// cost of reflection for every value. It reads only what the types say is
// there, and writes only memory that it has allocated with the right type, or
// that the caller owns.
package intern
