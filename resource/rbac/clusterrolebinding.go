package rbac

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// ClusterRoleBinding is the row of cluster role bindings, which grant a cluster
// role everywhere.
func ClusterRoleBinding() *resource.Definition {
	validate := func(b *rbacv1.ClusterRoleBinding) field.ErrorList {
		return validateBinding(&b.RoleRef, []string{"ClusterRole"}, b.Subjects, false)
	}
	return resource.Row[*rbacv1.ClusterRoleBinding]{
		Storage:        rbacv1.SchemeGroupVersion,
		Kind:           "ClusterRoleBinding",
		Plural:         "clusterrolebindings",
		ClusterScoped:  true,
		New:            func() *rbacv1.ClusterRoleBinding { return new(rbacv1.ClusterRoleBinding) },
		NewList:        func() runtime.Object { return new(rbacv1.ClusterRoleBindingList) },
		ValidateName:   validName,
		CreateOnUpdate: true,
		Default:        func(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) },
		Validate:       validate,
		ValidateUpdate: func(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
			return append(validate(b), validateSameRole(&b.RoleRef, &old.RoleRef)...)
		},
		Columns: bindingColumns("clusterRoleBinding", rbacv1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"]),
		Cells: func(b *rbacv1.ClusterRoleBinding, now time.Time) []any {
			users, groups, accounts := subjectCells(b.Subjects)
			return []any{b.Name, b.RoleRef.Kind + "/" + b.RoleRef.Name, columns.Since(b.CreationTimestamp, now), users, groups, accounts}
		},
	}.Define()
}
