// Package custom makes definitions of the table out of
// CustomResourceDefinitions, and holds the objects of what they define.
//
//	kind.go       New: one CRD as a resource.Definition
//	object.go     Object: parsed metadata, and the rest as the bytes that are stored
//	decode.go     from what a client sent or what was stored, by the schema
//	version.go    Version: what is compiled of one version, when it is first needed
//	strategy.go   what writes may touch, generations
//	validate.go   schema, list types, embedded objects, CEL rules, ratcheting
//	convert.go    between versions, by name only or through a webhook
//	columns.go    printer columns and selectable fields by JSONPath
//	scale.go      the scale subresource
//	types.go      the schema as server-side apply needs it
//	openapi.go    the schema as clients read it
//
// # Objects
//
// An object is stored and kept as JSON. Only its metadata is parsed; the rest
// stays the bytes that were stored, shared with the cache's entry, and goes out
// to clients as it is. A request that writes parses the rest into a tree, which
// is pruned, defaulted, validated and encoded once.
//
// Each object knows its version. The cache holds objects as they were stored,
// which may be in an older version than the present storage version; they are
// converted when they are read. A request works in the version that it asked
// for, so that this version's schema applies, and what it leaves is converted
// when it is stored.
//
// # Cost
//
// Making a definition compiles nothing. Structural schema, validators, CEL
// programs, columns, types and documents are each made when first used and then
// kept, so that a CRD of which nobody has objects costs its own text.
//
// Nothing here reads the store or a clock, and but for the webhook of a
// conversion nothing leaves the process.
package custom
