// Package owned answers which objects a controller owns, for the controllers
// that make pods or replica sets: by an index on the uid of the controlling
// owner, so that the answer does not cost a walk over a namespace, and by the
// rules of adoption.
package owned
