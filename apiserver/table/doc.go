// Package table puts objects into the two reduced forms in which clients may
// ask for them: rows of a meta.k8s.io Table, as kubectl get shows them, and
// PartialObjectMetadata. It writes JSON directly, row by row, from the printer
// columns of the definition.
package table
