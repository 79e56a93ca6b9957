// Package builtin is the bill of materials of the API: the explicit list of
// every row that a server has by itself. Nothing registers itself; what is not
// named here does not exist.
//
// The rows of a group stand in the package of that group, one file per kind.
// Groups come in the order in which discovery lists them, which is upstream's:
// kubectl prefers the first group that has a resource of the name it was given.
package builtin
