package bootstrap

import rbacv1 "k8s.io/api/rbac/v1"

// userRoles are the roles for people, and for what all callers may do.
func userRoles() []*rbacv1.ClusterRole {
	return []*rbacv1.ClusterRole{
		clusterRole("cluster-admin",
			on("*", "*", "*"),
			at("*", "*"),
		),
		clusterRole("system:discovery",
			at("get", "/livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*"),
		),
		clusterRole("system:basic-user",
			on("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
			on("create", "authentication.k8s.io", "selfsubjectreviews"),
		),
		clusterRole("system:public-info-viewer",
			at("get", "/livez /readyz /healthz /version /version/"),
		),
		clusterRole("system:monitoring",
			at("get", "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*"),
			at("get", "/flagz"),
			at("get", "/statusz"),
		),
		clusterRole("system:service-account-issuer-discovery",
			at("get", "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"),
		),

		aggregated("admin"),
		joins("admin", aggregated("edit")),
		joins("edit", aggregated("view")),
		joins("admin", clusterRole("system:aggregate-to-admin",
			on("create", "authorization.k8s.io", "localsubjectaccessreviews"),
			on(readWrite, "rbac.authorization.k8s.io", "roles rolebindings"),
		)),
		joins("edit", clusterRole("system:aggregate-to-edit", editRules()...)),
		joins("view", clusterRole("system:aggregate-to-view", viewRules()...)),
	}
}

// editRules let an editor change what runs in a namespace. What opens further
// doors (exec, secrets, impersonation of the namespace's accounts) is for
// editors to read too, and not for viewers. Endpoints are not theirs, since
// they can lead traffic out of the namespace.
func editRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on(read, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
		on("impersonate", "core", "serviceaccounts"),
		on(write, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
		on("create", "core", "pods/eviction"),
		on(write, "core", "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy persistentvolumeclaims configmaps secrets events"),
		on("create", "core", "serviceaccounts/token"),
		on(write, "apps", "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets replicasets/scale"),
		on(write, "autoscaling", "horizontalpodautoscalers"),
		on(write, "batch", "jobs cronjobs"),
		on(write, "extensions", "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale replicationcontrollers/scale networkpolicies"),
		on(write, "policy", "poddisruptionbudgets"),
		on(write, "networking.k8s.io", "networkpolicies ingresses"),
		on(readWrite, "coordination.k8s.io", "leases"),
		on(write, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
	}
}

// viewRules let a viewer see what runs in a namespace, and nothing by which he
// could become more.
func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on(read, "core", "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps"),
		on(read, "core", "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status replicationcontrollers/status pods/log"),
		// In a namespace this is the namespace itself.
		on(read, "core", "namespaces"),
		on(read, "discovery.k8s.io", "endpointslices"),
		on(read, "apps", "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale"),
		on(read, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
		on(read, "batch", "jobs cronjobs cronjobs/status jobs/status"),
		on(read, "extensions", "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies"),
		on(read, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
		on(read, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
		on(read, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
	}
}
