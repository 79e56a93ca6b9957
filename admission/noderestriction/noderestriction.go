// Package noderestriction is the admission plugin NodeRestriction: a node
// agent writes its own node, lease and CSI node, the pods that run on it, and
// nothing by which it could draw in work or secrets that are not its own. The
// node authorizer decides what a node may write at all; this plugin sees the
// objects.
package noderestriction

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"

	"proa/admission"
	"proa/auth"
	"proa/auth/node"
	"proa/resource"
)

// Objects finds what the plugin judges by. It must know of everything that
// this server has written.
type Objects interface {
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	Node(ctx context.Context, name string) (*corev1.Node, error)
	PersistentVolumeClaim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error)
	PersistentVolume(ctx context.Context, name string) (*corev1.PersistentVolume, error)
	CSIDriver(ctx context.Context, name string) (*storagev1.CSIDriver, error)
}

// Plugin is the admission plugin. It is a mutator and a validator: asked
// early, and again when the object is complete.
type Plugin struct {
	objects    Objects
	authorizer auth.Authorizer
}

// New makes the plugin. The authorizer is asked whether a node may have tokens
// for audiences that its pods do not name.
func New(o Objects, z auth.Authorizer) *Plugin { return &Plugin{o, z} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "NodeRestriction" }

// restricted are the resources of which a node may write its own only.
var restricted = map[string]bool{
	"pods": true, "nodes": true, "persistentvolumeclaims": true, "serviceaccounts": true,
	"leases.coordination.k8s.io": true, "csinodes.storage.k8s.io": true,
	"resourceslices.resource.k8s.io": true, "certificatesigningrequests.certificates.k8s.io": true,
}

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, _ string) bool {
	return op != admission.Connect && restricted[def.GroupResource().String()]
}

// Mutate implements [admission.Mutator]. It changes nothing.
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	return p.examine(ctx, a)
}

// Validate implements [admission.Validator]. Token requests are judged by what
// the node has asked for, before the server fills in its own audience.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.GroupResource().String() == "serviceaccounts" {
		return nil
	}
	return p.examine(ctx, a)
}

func (p *Plugin) examine(ctx context.Context, a *admission.Attributes) error {
	name, isNode := node.Identity(a.User)
	if !isNode {
		return nil
	}
	if name == "" {
		return admission.Forbidden(a, fmt.Errorf("could not determine node from user %q", a.User.Name))
	}
	if err := p.check(ctx, name, a); err != nil {
		return refuse(a, err)
	}
	return nil
}

func (p *Plugin) check(ctx context.Context, name string, a *admission.Attributes) error {
	switch a.GroupResource().String() {
	case "pods":
		switch a.Subresource {
		case "":
			return p.pod(ctx, name, a)
		case "status":
			return podStatus(name, a)
		case "eviction":
			return p.eviction(ctx, name, a)
		}
		return fmt.Errorf("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", a.Subresource)
	case "nodes":
		return nodeItself(name, a)
	case "persistentvolumeclaims":
		if a.Subresource != "status" {
			return fmt.Errorf("may only update PVC status")
		}
		return claimStatus(name, a)
	case "serviceaccounts":
		return p.token(ctx, name, a)
	case "leases.coordination.k8s.io":
		return lease(name, a)
	case "csinodes.storage.k8s.io":
		return csiNode(name, a)
	case "resourceslices.resource.k8s.io":
		return resourceSlice(name, a)
	case "certificatesigningrequests.certificates.k8s.io":
		return signingRequest(name, a)
	}
	return nil
}

// nameOf is the name of the object that is written, which for a new one is
// only in the object.
func nameOf(a *admission.Attributes) string {
	if o, ok := a.Object.(resource.Object); ok && a.Operation == admission.Create && o.GetName() != "" {
		return o.GetName()
	}
	return a.Name
}

func lease(name string, a *admission.Attributes) error {
	if a.Namespace != corev1.NamespaceNodeLease {
		return fmt.Errorf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	if _, ok := a.Object.(*coordinationv1.Lease); !ok && a.Operation == admission.Create {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if nameOf(a) != name {
		return fmt.Errorf("can only access node lease with the same name as the requesting node")
	}
	return nil
}

func csiNode(name string, a *admission.Attributes) error {
	if nameOf(a) != name {
		return fmt.Errorf("can only access CSINode with the same name as the requesting node")
	}
	return nil
}

func resourceSlice(name string, a *admission.Attributes) error {
	s, ok := a.Object.(*resourcev1.ResourceSlice)
	if a.Operation != admission.Create {
		return nil // the authorizer knows whose it is
	}
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if s.Spec.NodeName == nil || *s.Spec.NodeName != name {
		return fmt.Errorf("can only create ResourceSlice with the same NodeName as the requesting node")
	}
	return nil
}
