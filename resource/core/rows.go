package core

import "proa/resource"

// Rows lists every row of the group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		ConfigMap(),
		Event(),
		Namespace(),
		Node(),
		Pod(),
		Secret(),
		ServiceAccount(),
	}
}
