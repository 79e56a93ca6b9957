package rbac

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// Role is the row of roles: sets of rules within a namespace.
func Role() *resource.Definition {
	return resource.Row[*rbacv1.Role]{
		Storage:        rbacv1.SchemeGroupVersion,
		Kind:           "Role",
		Plural:         "roles",
		New:            func() *rbacv1.Role { return new(rbacv1.Role) },
		NewList:        func() runtime.Object { return new(rbacv1.RoleList) },
		ValidateName:   validName,
		CreateOnUpdate: true,
		Validate:       func(r *rbacv1.Role) field.ErrorList { return validateRules(r.Rules, true) },
		ValidateUpdate: func(r, _ *rbacv1.Role) field.ErrorList { return validateRules(r.Rules, true) },
		Columns:        roleColumns(),
		Cells:          func(r *rbacv1.Role, _ time.Time) []any { return []any{r.Name, createdAt(r)} },
	}.Define()
}

// roleColumns show when a role was made, not its age: roles are looked at to
// learn since when something has been allowed.
func roleColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		columns.Name(),
		columns.CreatedAt(),
	}
}

func createdAt(o metav1.Object) string {
	return o.GetCreationTimestamp().UTC().Format(time.RFC3339)
}
