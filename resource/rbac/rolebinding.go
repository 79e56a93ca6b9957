package rbac

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// RoleBinding is the row of role bindings, which grant a role or a cluster role
// within a namespace.
func RoleBinding() *resource.Definition {
	validate := func(b *rbacv1.RoleBinding) field.ErrorList {
		return validateBinding(&b.RoleRef, []string{"Role", "ClusterRole"}, b.Subjects, true)
	}
	return resource.Row[*rbacv1.RoleBinding]{
		Storage:        rbacv1.SchemeGroupVersion,
		Kind:           "RoleBinding",
		Plural:         "rolebindings",
		New:            func() *rbacv1.RoleBinding { return new(rbacv1.RoleBinding) },
		NewList:        func() runtime.Object { return new(rbacv1.RoleBindingList) },
		ValidateName:   validName,
		CreateOnUpdate: true,
		Default:        func(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) },
		Validate:       validate,
		ValidateUpdate: func(b, old *rbacv1.RoleBinding) field.ErrorList {
			return append(validate(b), validateSameRole(&b.RoleRef, &old.RoleRef)...)
		},
		Columns: bindingColumns("roleBinding", rbacv1.RoleBinding{}.SwaggerDoc()["roleRef"]),
		Cells: func(b *rbacv1.RoleBinding, now time.Time) []any {
			users, groups, accounts := subjectCells(b.Subjects)
			return []any{b.Name, b.RoleRef.Kind + "/" + b.RoleRef.Name, columns.Since(b.CreationTimestamp, now), users, groups, accounts}
		},
	}.Define()
}
