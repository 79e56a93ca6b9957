// Package resourcetest checks what must hold of every row of the table,
// whatever its kind, over objects filled at random and those that k8s.io/api
// publishes. A new row is tested by being listed in resource/builtin. For the
// verdicts and cells of one kind there are table tests: [Verdicts],
// [UpdateVerdicts], [SubresourceVerdicts] and [Cells].
//
// The checks are written once, for all rows:
//
//   - defaulting twice is defaulting once;
//   - no hook panics, on objects that are defaulted, that are not, and that
//     are empty, since hooks see whatever a client sends;
//   - no hook changes the old object, which the cache shares;
//   - an update of a subresource leaves the rest as it was;
//   - a table row has a cell for each column, of the type of the column;
//   - what is stored comes back the same;
//   - another served version converts there and back without loss.
package resourcetest
