package bootstrap

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// componentRoles are the roles of the parts of a cluster that are not
// controllers of their own.
func componentRoles() []*rbacv1.ClusterRole {
	approver := func(name, signer string) *rbacv1.ClusterRole {
		return clusterRole("system:certificates.k8s.io:"+name, on("approve", "certificates.k8s.io", "signers", signer))
	}
	return []*rbacv1.ClusterRole{
		clusterRole("system:node", nodeRules()...),
		clusterRole("system:node-proxier",
			on(follow, "core", "services endpoints"),
			on(read, "core", "nodes"),
			events(),
			on(follow, "networking.k8s.io", "servicecidrs"),
			on(follow, "discovery.k8s.io", "endpointslices"),
		),
		// Who forwards for a node enforces network policies, too. Upstream leaves
		// that to others, which bring roles of their own.
		clusterRole("system:proa:network-policy-enforcer",
			on(follow, "core", "pods namespaces"),
			on(follow, "networking.k8s.io", "networkpolicies"),
		),
		clusterRole("system:node-problem-detector",
			on("get", "core", "nodes"),
			on("patch", "core", "nodes/status"),
			events(),
		),
		clusterRole("system:node-bootstrapper",
			on("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
		),
		clusterRole("system:kubelet-api-admin",
			on(read, "core", "nodes"),
			on("proxy", "core", "nodes"),
			on("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log"),
			on("*", "core", "nodes/configz nodes/healthz nodes/pods"),
		),
		clusterRole("system:auth-delegator",
			on("create", "authentication.k8s.io", "tokenreviews"),
			on("create", "authorization.k8s.io", "subjectaccessreviews"),
		),
		clusterRole("system:kube-aggregator",
			on(read, "core", "services endpoints"),
		),
		clusterRole("system:kube-controller-manager",
			events(),
			on("create", "coordination.k8s.io", "leases"),
			on("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
			// These it needs to make identities for the controllers.
			on("create", "core", "secrets serviceaccounts"),
			on("delete", "core", "secrets"),
			on("get", "core", "namespaces secrets serviceaccounts configmaps"),
			on("update", "core", "secrets serviceaccounts"),
			on("create", "authentication.k8s.io", "tokenreviews"),
			on("create", "authorization.k8s.io", "subjectaccessreviews"),
			on(follow, "*", "*"),
			on("create", "core", "serviceaccounts/token"),
		),
		clusterRole("system:kube-scheduler", schedulerRules()...),
		clusterRole("system:volume-scheduler",
			on(read+" update patch", "core", "persistentvolumes"),
			on(read, "storage.k8s.io", "storageclasses"),
			on(read+" update patch", "core", "persistentvolumeclaims"),
		),
		clusterRole("system:kube-dns",
			on(follow, "core", "endpoints services"),
		),
		clusterRole("system:persistent-volume-provisioner",
			on("get list watch create delete", "core", "persistentvolumes"),
			on("get list watch update", "core", "persistentvolumeclaims"),
			on(read, "storage.k8s.io", "storageclasses"),
			on("watch", "core", "events"),
			events(),
		),
		clusterRole("system:heapster",
			on(read, "core", "events pods nodes namespaces"),
			on(read, "extensions", "deployments"),
		),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:nodeclient",
			on("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
		),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
			on("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
		),
		approver("legacy-unknown-approver", "kubernetes.io/legacy-unknown"),
		approver("kubelet-serving-approver", certificatesv1.KubeletServingSignerName),
		approver("kube-apiserver-client-approver", certificatesv1.KubeAPIServerClientSignerName),
		approver("kube-apiserver-client-kubelet-approver", certificatesv1.KubeAPIServerClientKubeletSignerName),
	}
}

func schedulerRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		events(),
		on("create", "coordination.k8s.io", "leases"),
		on("get list watch update", "coordination.k8s.io", "leases", "kube-scheduler"),
		on(read, "core", "nodes"),
		on("get list watch delete", "core", "pods"),
		on("create", "core", "pods/binding bindings"),
		on("patch update", "core", "pods/status"),
		on(read, "core", "services replicationcontrollers"),
		on(read, "apps extensions", "replicasets"),
		on(read, "apps", "statefulsets"),
		on(read, "policy", "poddisruptionbudgets"),
		on(read, "core", "persistentvolumeclaims persistentvolumes"),
		on("create", "authentication.k8s.io", "tokenreviews"),
		on("create", "authorization.k8s.io", "subjectaccessreviews"),
		on(read, "storage.k8s.io", "csinodes"),
		on(read, "storage.k8s.io", "volumeattachments"),
		on(read, "core", "namespaces"),
		on(read, "storage.k8s.io", "csidrivers"),
		on(read, "storage.k8s.io", "csistoragecapacities"),
		on(read, "resource.k8s.io", "deviceclasses"),
		on(read+" update patch", "resource.k8s.io", "resourceclaims"),
		on(read+" update patch", "resource.k8s.io", "resourceclaims/status"),
		on("update patch", "resource.k8s.io", "resourceclaims/binding"),
		on(read+" update patch", "core", "pods/finalizers"),
		on(read, "resource.k8s.io", "resourceslices"),
	}
}

// NodeRules are what a node may ask for at all. The node authorizer narrows
// them to the objects that concern the node, and so does the admission plugin
// NodeRestriction for writes.
func NodeRules() []rbacv1.PolicyRule { return nodeRules() }

func nodeRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on("create", "authentication.k8s.io", "tokenreviews"),
		on("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
		on(read, "core", "services"),
		on("create get list watch", "core", "nodes"),
		on("update patch", "core", "nodes/status"),
		on("update patch", "core", "nodes"),
		on("create update patch", "core", "events"),
		on(read, "core", "pods"),
		// Mirror pods.
		on("create delete", "core", "pods"),
		on("update patch", "core", "pods/status"),
		on("create", "core", "pods/eviction"),
		on(read, "core", "secrets configmaps"),
		on("get", "core", "persistentvolumeclaims persistentvolumes"),
		on("get", "core", "endpoints"),
		on("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
		on("get create update patch delete", "coordination.k8s.io", "leases"),
		on("get", "storage.k8s.io", "volumeattachments"),
		on("create", "core", "serviceaccounts/token"),
		on("get update patch", "core", "persistentvolumeclaims/status"),
		on(read, "storage.k8s.io", "csidrivers"),
		on("get create update patch delete", "storage.k8s.io", "csinodes"),
		on(read, "node.k8s.io", "runtimeclasses"),
		on("get", "resource.k8s.io", "resourceclaims"),
		on("deletecollection", "resource.k8s.io", "resourceslices"),
		on("get", "core", "serviceaccounts"),
	}
}
