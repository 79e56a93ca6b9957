package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/tools/cache"
)

// Set adds or replaces an object of one of the four kinds. Others are ignored.
func (x *Index) Set(obj any) {
	switch o := obj.(type) {
	case *rbacv1.ClusterRole:
		x.SetClusterRole(o)
	case *rbacv1.Role:
		x.SetRole(o)
	case *rbacv1.ClusterRoleBinding:
		x.SetClusterRoleBinding(o)
	case *rbacv1.RoleBinding:
		x.SetRoleBinding(o)
	}
}

// Delete removes an object of one of the four kinds, given itself or an
// informer's tombstone of it.
func (x *Index) Delete(obj any) {
	if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = t.Obj
	}
	switch o := obj.(type) {
	case *rbacv1.ClusterRole:
		x.DeleteClusterRole(o.Name)
	case *rbacv1.Role:
		x.DeleteRole(o.Namespace, o.Name)
	case *rbacv1.ClusterRoleBinding:
		x.DeleteClusterRoleBinding(o.Name)
	case *rbacv1.RoleBinding:
		x.DeleteRoleBinding(o.Namespace, o.Name)
	}
}

// Handler feeds the index from an informer of any of the four kinds.
func (x *Index) Handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    x.Set,
		UpdateFunc: func(_, obj any) { x.Set(obj) },
		DeleteFunc: x.Delete,
	}
}
