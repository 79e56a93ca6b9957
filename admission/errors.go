package admission

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/resource"
)

// Forbidden is the error by which a plugin refuses a write for a reason. A
// reason that is already such an error is returned as it is.
func Forbidden(a *Attributes, reason error) error {
	if apierrors.IsForbidden(reason) {
		return reason
	}
	return apierrors.NewForbidden(a.GroupResource(), a.ObjectName(), reason)
}

// GroupResource of the object that the request is for.
func (a *Attributes) GroupResource() schema.GroupResource { return a.Definition.GroupResource() }

// ObjectName is what to call the object in a message: its name, or what it
// begins with while it has none.
func (a *Attributes) ObjectName() string {
	if a.Name != "" {
		return a.Name
	}
	if a.Object != nil {
		if m, err := meta.Accessor(a.Object); err == nil {
			if m.GetName() != "" {
				return m.GetName()
			}
			if m.GetGenerateName() != "" {
				return m.GetGenerateName()
			}
		}
	}
	return "Unknown"
}

// Is reports whether a definition is that of a resource. It is meant for
// Plugin.Handles.
func Is(d *resource.Definition, group, plural string) bool {
	return d.Plural == plural && d.Storage.Group == group
}
