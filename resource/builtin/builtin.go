// Package builtin lists every resource that a server has by itself, one line
// per group. It is the bill of materials of the API.
package builtin

import (
	"slices"

	"proa/resource"
	"proa/resource/core"
)

// Definitions returns all rows, each group's in alphabetical order.
func Definitions() []*resource.Definition {
	return slices.Concat(
		core.Rows(),
	)
}

// Table makes a new table of all rows.
func Table() *resource.Table { return resource.NewTable(Definitions()...) }
