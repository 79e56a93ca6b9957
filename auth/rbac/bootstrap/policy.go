package bootstrap

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/auth"
)

// Policy is a set of roles and bindings.
type Policy struct {
	ClusterRoles        []*rbacv1.ClusterRole
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding
	Roles               []*rbacv1.Role
	RoleBindings        []*rbacv1.RoleBinding
}

// Default returns the policy that every cluster is born with. Each call makes
// it anew.
func Default() Policy {
	controllers := controllerRoles()
	p := Policy{
		ClusterRoles:        append(append(userRoles(), componentRoles()...), controllers...),
		ClusterRoleBindings: clusterBindings(),
		Roles:               namespacedRoles(),
		RoleBindings:        namespacedBindings(),
	}
	for _, r := range controllers {
		p.ClusterRoleBindings = append(p.ClusterRoleBindings, clusterBinding(r.Name, account(strings.TrimPrefix(r.Name, controllerPrefix))))
	}
	return p
}

// Users of the parts that have certificates of their own.
const (
	controllerManager = "system:kube-controller-manager"
	scheduler         = "system:kube-scheduler"
	proxy             = "system:kube-proxy"
)

func clusterBindings() []*rbacv1.ClusterRoleBinding {
	return []*rbacv1.ClusterRoleBinding{
		clusterBinding("cluster-admin", group(auth.GroupMasters)),
		clusterBinding("system:monitoring", group("system:monitoring")),
		clusterBinding("system:discovery", group(auth.GroupAuthenticated)),
		clusterBinding("system:basic-user", group(auth.GroupAuthenticated)),
		clusterBinding("system:public-info-viewer", group(auth.GroupAuthenticated), group(auth.GroupUnauthenticated)),
		clusterBinding("system:node-proxier", user(proxy)),
		clusterBinding("system:proa:network-policy-enforcer", user(proxy)),
		clusterBinding("system:kube-controller-manager", user(controllerManager)),
		// A node renews its own client certificate. Upstream leaves this binding
		// to those who set a cluster up.
		clusterBinding("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", group(auth.GroupNodes)),
		clusterBinding("system:kube-dns", account("kube-dns")),
		clusterBinding("system:kube-scheduler", user(scheduler)),
		clusterBinding("system:volume-scheduler", user(scheduler)),
		// Nodes are allowed by the node authorizer; the binding without
		// subjects keeps the role in use and visible.
		clusterBinding("system:node"),
		clusterBinding("system:service-account-issuer-discovery", group(auth.GroupServiceAccounts)),
	}
}

const (
	authReader       = "extension-apiserver-authentication-reader"
	lockPrefix       = "system::leader-locking-"
	bootstrapSigner  = controllerPrefix + "bootstrap-signer"
	cloudProvider    = controllerPrefix + "cloud-provider"
	tokenCleaner     = controllerPrefix + "token-cleaner"
	lockControllers  = lockPrefix + "kube-controller-manager"
	lockScheduler    = lockPrefix + "kube-scheduler"
	kubeSystem       = metav1.NamespaceSystem
	kubePublic       = metav1.NamespacePublic
	authConfigMap    = "extension-apiserver-authentication"
	clusterInfo      = "cluster-info"
	corefileReader   = "system:coredns"
	controllersLease = "kube-controller-manager"
	schedulerLease   = "kube-scheduler"
)

func namespacedRoles() []*rbacv1.Role {
	return []*rbacv1.Role{
		role(kubeSystem, authReader,
			on(read, "core", "configmaps", authConfigMap),
		),
		role(kubeSystem, bootstrapSigner,
			on(read, "core", "secrets"),
		),
		role(kubeSystem, cloudProvider,
			on("create get list watch", "core", "configmaps"),
		),
		role(kubeSystem, tokenCleaner,
			on("get list watch delete", "core", "secrets"),
			events(),
		),
		role(kubeSystem, lockControllers,
			on("watch", "core", "configmaps"),
			on("get update", "core", "configmaps", controllersLease),
		),
		role(kubeSystem, lockScheduler,
			on("watch", "core", "configmaps"),
			on("get update", "core", "configmaps", schedulerLease),
		),
		// The two ConfigMaps by which nodes answer names; upstream's CoreDNS finds
		// them as files of its pod.
		role(kubeSystem, corefileReader,
			on(read, "core", "configmaps", "coredns", "coredns-custom"),
		),
		role(kubePublic, bootstrapSigner,
			on(read, "core", "configmaps"),
			on("update", "core", "configmaps", clusterInfo),
			events(),
		),
	}
}

func namespacedBindings() []*rbacv1.RoleBinding {
	reader := binding(kubeSystem, authReader, user(controllerManager), user(scheduler))
	reader.Name = "system::" + authReader
	return []*rbacv1.RoleBinding{
		reader,
		binding(kubeSystem, lockControllers, user(controllerManager), account("kube-controller-manager")),
		binding(kubeSystem, lockScheduler, user(scheduler), account("kube-scheduler")),
		binding(kubeSystem, bootstrapSigner, account("bootstrap-signer")),
		binding(kubeSystem, cloudProvider, account("cloud-provider")),
		binding(kubeSystem, tokenCleaner, account("token-cleaner")),
		binding(kubeSystem, corefileReader, user(proxy)),
		binding(kubePublic, bootstrapSigner, account("bootstrap-signer")),
	}
}
