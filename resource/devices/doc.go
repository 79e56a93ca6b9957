// Package devices holds the rows of resource.k8s.io/v1, by which pods get
// devices: slices say what devices there are, classes which of them belong
// together, claims and their templates what is asked for and, in the status of a
// claim, what was given.
//
//	deviceclass.go, claim.go, template.go, slice.go    the rows
//	request.go     what a claim asks for, which a template and a class share
//	allocation.go  what was given, in the status of a claim
//	device.go      a device of a slice; capacity.go what may be asked of a part of it
//	selector.go    CEL expressions about devices
//	names.go, sizes.go    rules that all of them use
//
// What depends on other objects or on the user, such as access for
// administrators, is checked by package admission/deviceaccess.
package devices

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{DeviceClass(), ResourceClaim(), ResourceClaimTemplate(), ResourceSlice()}
}
