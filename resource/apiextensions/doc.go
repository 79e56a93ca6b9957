// Package apiextensions holds the row of CustomResourceDefinitions. What they
// define enters the table through apiserver/crds and resource/custom; their
// conditions and their end are controller/customresource's.
package apiextensions

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{CustomResourceDefinition()}
}
