package apiregistration

import "k8s.io/apimachinery/pkg/runtime/schema"

// groupPriorities are those of upstream's groups: which of two groups a client
// prefers that have a resource of the same name.
var groupPriorities = map[string]int32{
	"": 18000, "apiregistration.k8s.io": 17900, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
	"autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
	"rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700, "admissionregistration.k8s.io": 16700,
	"scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200, "resource.k8s.io": 16200,
	"flowcontrol.apiserver.k8s.io": 16100,
}

// What groups have that upstream's server does not: those of custom resources.
const (
	customGroupPriority   = 1000
	customVersionPriority = 100
	versionPriority       = 15
)

// Priorities of a version that this server serves itself.
func Priorities(gv schema.GroupVersion) (group, version int32) {
	g, known := groupPriorities[gv.Group]
	if !known {
		return customGroupPriority, customVersionPriority
	}
	switch gv {
	case schema.GroupVersion{Version: "v1"}:
		return g, 1
	case schema.GroupVersion{Group: "autoscaling", Version: "v2"}:
		return g, 30
	case schema.GroupVersion{Group: "resource.k8s.io", Version: "v1"}, schema.GroupVersion{Group: "flowcontrol.apiserver.k8s.io", Version: "v1"}:
		return g, 21
	}
	return g, versionPriority
}

// IsBuiltin reports whether a group is one of upstream's.
func IsBuiltin(group string) bool { _, ok := groupPriorities[group]; return ok }
