package builtin

import (
	"testing"
)

// prefixes are the parts of the storage keys after "/registry/" under which
// upstream keeps each resource. They cannot change: data is found by them.
var prefixes = map[string]string{
	"bindings":               "",
	"componentstatuses":      "",
	"configmaps":             "configmaps",
	"endpoints":              "services/endpoints",
	"events":                 "events",
	"limitranges":            "limitranges",
	"namespaces":             "namespaces",
	"nodes":                  "minions",
	"persistentvolumeclaims": "persistentvolumeclaims",
	"persistentvolumes":      "persistentvolumes",
	"pods":                   "pods",
	"podtemplates":           "podtemplates",
	"replicationcontrollers": "controllers",
	"resourcequotas":         "resourcequotas",
	"secrets":                "secrets",
	"serviceaccounts":        "serviceaccounts",
	"services":               "services/specs",

	"customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
	"apiservices.apiregistration.k8s.io":             "apiregistration.k8s.io/apiservices",

	"controllerrevisions.apps": "controllerrevisions",
	"daemonsets.apps":          "daemonsets",
	"deployments.apps":         "deployments",
	"replicasets.apps":         "replicasets",
	"statefulsets.apps":        "statefulsets",

	"horizontalpodautoscalers.autoscaling": "horizontalpodautoscalers",

	"cronjobs.batch": "cronjobs",
	"jobs.batch":     "jobs",

	"mutatingadmissionpolicies.admissionregistration.k8s.io":         "mutatingadmissionpolicies",
	"mutatingadmissionpolicybindings.admissionregistration.k8s.io":   "mutatingadmissionpolicybindings",
	"mutatingwebhookconfigurations.admissionregistration.k8s.io":     "mutatingwebhookconfigurations",
	"validatingadmissionpolicies.admissionregistration.k8s.io":       "validatingadmissionpolicies",
	"validatingadmissionpolicybindings.admissionregistration.k8s.io": "validatingadmissionpolicybindings",
	"validatingwebhookconfigurations.admissionregistration.k8s.io":   "validatingwebhookconfigurations",

	"certificatesigningrequests.certificates.k8s.io": "certificatesigningrequests",
	"leases.coordination.k8s.io":                     "leases",
	"endpointslices.discovery.k8s.io":                "endpointslices",
	"priorityclasses.scheduling.k8s.io":              "priorityclasses",
	"runtimeclasses.node.k8s.io":                     "runtimeclasses",
	"poddisruptionbudgets.policy":                    "poddisruptionbudgets",

	"ingresses.networking.k8s.io":       "ingress",
	"ingressclasses.networking.k8s.io":  "ingressclasses",
	"networkpolicies.networking.k8s.io": "networkpolicies",
	"ipaddresses.networking.k8s.io":     "ipaddresses",
	"servicecidrs.networking.k8s.io":    "servicecidrs",

	"clusterrolebindings.rbac.authorization.k8s.io": "clusterrolebindings",
	"clusterroles.rbac.authorization.k8s.io":        "clusterroles",
	"rolebindings.rbac.authorization.k8s.io":        "rolebindings",
	"roles.rbac.authorization.k8s.io":               "roles",

	"deviceclasses.resource.k8s.io":          "deviceclasses",
	"resourceclaims.resource.k8s.io":         "resourceclaims",
	"resourceclaimtemplates.resource.k8s.io": "resourceclaimtemplates",
	"resourceslices.resource.k8s.io":         "resourceslices",

	"flowschemas.flowcontrol.apiserver.k8s.io":                 "flowschemas",
	"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": "prioritylevelconfigurations",

	"csidrivers.storage.k8s.io":              "csidrivers",
	"csinodes.storage.k8s.io":                "csinodes",
	"csistoragecapacities.storage.k8s.io":    "csistoragecapacities",
	"storageclasses.storage.k8s.io":          "storageclasses",
	"volumeattachments.storage.k8s.io":       "volumeattachments",
	"volumeattributesclasses.storage.k8s.io": "volumeattributesclasses",
}

func TestPrefixesAreUpstreams(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range Definitions() {
		if d.Virtual {
			continue
		}
		name := d.GroupResource().String()
		want, known := prefixes[name]
		if !known {
			t.Errorf("%s has no prefix in upstream's list; look it up and add it", name)
		}
		if d.Prefix != want {
			t.Errorf("%s is kept under %q, upstream keeps it under %q", name, d.Prefix, want)
		}
		if seen[d.Prefix] {
			t.Errorf("%q is used twice", d.Prefix)
		}
		seen[d.Prefix] = true
	}
}
