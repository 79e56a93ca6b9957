package node

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"

	"proa/auth"
	"proa/auth/rbac"
)

// Authorizer is an [auth.Authorizer] of node agents.
type Authorizer struct {
	graph *Graph
	rules *rbac.RuleSet
	pods  PodsOn
}

// PodsOn lists the pods that are bound to a node, as up to date as nodes may
// know them.
type PodsOn func(ctx context.Context, node string) ([]*corev1.Pod, error)

// New makes an authorizer. The rules are those of the role system:node, and
// hold for what is not narrowed here. pods may be nil, where nothing is ahead
// of the graph.
func New(g *Graph, rules []rbacv1.PolicyRule, pods PodsOn) *Authorizer {
	return &Authorizer{g, rbac.NewRuleSet(rules), pods}
}

// decider decides by the rules and by what a node needs.
type decider struct {
	rules *rbac.RuleSet
	has   func(node string, o object) bool
}

// Authorize implements [auth.Authorizer].
func (z *Authorizer) Authorize(ctx context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	node, isNode := Identity(a.User)
	switch {
	case !isNode:
		return auth.NoOpinion, "", nil
	case node == "":
		return auth.NoOpinion, fmt.Sprintf("unknown node for user %q", a.User.Name), nil
	}
	missing := false
	ok, reason := decider{z.rules, func(node string, o object) bool {
		has := z.graph.has(node, o)
		missing = !has
		return has
	}}.decide(node, a)
	if !ok && missing && z.pods != nil {
		// A node may know of its pod before the graph does, which is told at
		// the same time: what the graph does not know yet, the pods show.
		pods, err := z.pods(ctx, node)
		if err != nil {
			return auth.NoOpinion, reason, fmt.Errorf("read the pods of node %s: %w", node, err)
		}
		ok, reason = decider{z.rules, z.graph.with(pods)}.decide(node, a)
	}
	if ok {
		return auth.Allow, "", nil
	}
	return auth.NoOpinion, reason, nil
}

func (z decider) decide(node string, a *auth.Attributes) (bool, string) {
	if a.IsResource {
		switch a.Group {
		case "":
			switch a.Resource {
			case "secrets":
				return z.read(node, secret, a)
			case "configmaps":
				return z.read(node, configMap, a)
			case "persistentvolumeclaims":
				if a.Subresource == "status" {
					return z.claimStatus(node, a)
				}
				return z.get(node, claim, a)
			case "persistentvolumes":
				return z.get(node, volume, a)
			case "serviceaccounts":
				return z.account(node, a)
			case "nodes":
				return z.node(node, a)
			case "pods":
				return z.pod(node, a)
			}
		case "resource.k8s.io":
			switch a.Resource {
			case "resourceclaims":
				return z.get(node, resourceClaim, a)
			case "resourceslices":
				return z.resourceSlice(node, a)
			}
		case "storage.k8s.io":
			switch a.Resource {
			case "volumeattachments":
				return z.get(node, attachment, a)
			case "csinodes":
				return csiNode(node, a)
			}
		case "coordination.k8s.io":
			if a.Resource == "leases" {
				return lease(node, a)
			}
		}
	}
	return z.rules.Allow(a), ""
}

// reaches allows what the graph connects with the node.
func (z decider) reaches(node string, k kind, a *auth.Attributes) (bool, string) {
	if a.Name == "" {
		return false, "No Object name found"
	}
	if !z.has(node, object{k, a.Namespace, a.Name}) {
		return false, fmt.Sprintf("no relationship found between node '%s' and this object", node)
	}
	return true, ""
}

// read allows get, list and watch of single objects: a node watches each
// secret by its name.
func (z decider) read(node string, k kind, a *auth.Attributes) (bool, string) {
	switch {
	case !slices.Contains([]string{"get", "list", "watch"}, a.Verb):
		return false, "can only read resources of this type"
	case a.Subresource != "":
		return false, "cannot read subresource"
	case a.Namespace == "":
		return false, "can only read namespaced object of this type"
	}
	return z.reaches(node, k, a)
}

func (z decider) get(node string, k kind, a *auth.Attributes) (bool, string) {
	switch {
	case a.Verb != "get":
		return false, "can only get individual resources of this type"
	case a.Subresource != "":
		return false, "cannot get subresource"
	}
	return z.reaches(node, k, a)
}

func (z decider) claimStatus(node string, a *auth.Attributes) (bool, string) {
	if a.Verb != "get" && a.Verb != "update" && a.Verb != "patch" {
		return false, "can only get/update/patch this type"
	}
	return z.reaches(node, claim, a)
}

func (z decider) account(node string, a *auth.Attributes) (bool, string) {
	if a.Verb == "get" && a.Subresource == "" || a.Verb == "create" && a.Subresource == "token" {
		return z.reaches(node, account, a)
	}
	return false, "can only get individual resources or create tokens for individual service accounts"
}

// node: which node a write is for, admission sees.
func (z decider) node(node string, a *auth.Attributes) (bool, string) {
	switch a.Subresource {
	case "":
		switch a.Verb {
		case "create", "update", "patch":
			return true, ""
		case "get", "list", "watch":
			if a.Name == node || selects(a.Fields, "metadata.name", node) {
				return true, ""
			}
			return false, fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", node, a.Name)
		}
	case "status":
		if a.Verb == "update" || a.Verb == "patch" {
			return true, ""
		}
	}
	return false, ""
}

func (z decider) pod(node string, a *auth.Attributes) (bool, string) {
	switch a.Subresource {
	case "":
		switch a.Verb {
		case "get":
			return z.reaches(node, pod, a)
		case "list", "watch":
			if selects(a.Fields, "spec.nodeName", node) {
				return true, ""
			}
			// One pod by its name is a get that goes on.
			if a.Name != "" && a.Namespace != "" {
				return z.reaches(node, pod, a)
			}
			return false, "can only list/watch pods with spec.nodeName field selector"
		case "create", "delete":
			return true, ""
		}
	case "status":
		if a.Verb == "update" || a.Verb == "patch" {
			return true, ""
		}
	case "eviction":
		if a.Verb == "create" {
			return true, ""
		}
	}
	return false, ""
}

func (z decider) resourceSlice(node string, a *auth.Attributes) (bool, string) {
	if a.Subresource != "" {
		return false, "cannot authorize ResourceSlice subresources"
	}
	switch a.Verb {
	case "create":
		return true, ""
	case "get", "update", "patch", "delete":
		return z.reaches(node, slice, a)
	case "list", "watch", "deletecollection":
		if selects(a.Fields, "spec.nodeName", node) {
			return true, ""
		}
		return false, "can only list/watch/deletecollection resourceslices with nodeName field selector"
	}
	return false, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection"
}

// ownVerbs are those by which a node keeps an object that has its name.
func ownVerbs(verb string) bool {
	return slices.Contains([]string{"get", "create", "update", "patch", "delete"}, verb)
}

func lease(node string, a *auth.Attributes) (bool, string) {
	switch {
	case !ownVerbs(a.Verb):
		return false, "can only get, create, update, patch, or delete a node lease"
	case a.Namespace != corev1.NamespaceNodeLease:
		return false, fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	case a.Verb != "create" && a.Name != node:
		return false, "can only access node lease with the same name as the requesting node"
	}
	return true, ""
}

func csiNode(node string, a *auth.Attributes) (bool, string) {
	switch {
	case !ownVerbs(a.Verb):
		return false, "can only get, create, update, patch, or delete a CSINode"
	case a.Subresource != "":
		return false, "cannot authorize CSINode subresources"
	case a.Verb != "create" && a.Name != node:
		return false, "can only access CSINode with the same name as the requesting node"
	}
	return true, ""
}

// selects reports whether the requirements ask for one value of a field.
func selects(list fields.Requirements, name, value string) bool {
	for _, r := range list {
		if r.Field == name && r.Value == value && (r.Operator == selection.Equals || r.Operator == selection.DoubleEquals) {
			return true
		}
	}
	return false
}
