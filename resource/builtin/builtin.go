package builtin

import (
	"slices"

	"proa/resource"
	"proa/resource/admissionregistration"
	"proa/resource/apiextensions"
	"proa/resource/apiregistration"
	"proa/resource/apps"
	"proa/resource/authentication"
	"proa/resource/authorization"
	"proa/resource/autoscaling"
	"proa/resource/batch"
	"proa/resource/certificates"
	"proa/resource/coordination"
	"proa/resource/core"
	"proa/resource/devices"
	"proa/resource/discovery"
	"proa/resource/flowcontrol"
	"proa/resource/networking"
	"proa/resource/node"
	"proa/resource/policy"
	"proa/resource/rbac"
	"proa/resource/scheduling"
	"proa/resource/storage"
)

// Definitions makes every row, anew at each call: each group's in alphabetical
// order.
func Definitions() []*resource.Definition {
	return slices.Concat(
		core.Rows(),
		apiextensions.Rows(),
		apiregistration.Rows(),
		apps.Rows(),
		authentication.Rows(),
		authorization.Rows(),
		autoscaling.Rows(),
		batch.Rows(),
		certificates.Rows(),
		networking.Rows(),
		policy.Rows(),
		rbac.Rows(),
		storage.Rows(),
		admissionregistration.Rows(),
		scheduling.Rows(),
		coordination.Rows(),
		node.Rows(),
		discovery.Rows(),
		devices.Rows(),
		flowcontrol.Rows(),
	)
}

// Table makes a new table of all rows.
func Table() *resource.Table { return resource.NewTable(Definitions()...) }
