package rbac

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
	"proa/resource/columns"
)

// Both kinds of binding hold a reference to a role and a list of subjects. They
// are defaulted, checked and printed alike, by the functions of this file.

func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	if ref.APIGroup == "" {
		ref.APIGroup = rbacv1.GroupName
	}
	for i := range subjects {
		s := &subjects[i]
		if s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = rbacv1.GroupName
		}
	}
}

// validateBinding checks the reference and the subjects. In a namespaced
// binding a service account may leave out its namespace, and the reference may
// name a role; roles are the kinds that it may name.
func validateBinding(ref *rbacv1.RoleRef, roles []string, subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("roleRef")
	errs = append(errs, check.OneOf(ref.APIGroup, []string{rbacv1.GroupName}, at.Child("apiGroup"))...)
	errs = append(errs, check.OneOf(ref.Kind, roles, at.Child("kind"))...)
	if ref.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else {
		errs = append(errs, check.Messages(path.ValidatePathSegmentName(ref.Name, false), ref.Name, at.Child("name"))...)
	}
	for i := range subjects {
		errs = append(errs, validateSubject(&subjects[i], namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func validateSubject(s *rbacv1.Subject, namespaced bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			errs = append(errs, check.Messages(apivalidation.ValidateServiceAccountName(s.Name, false), s.Name, at.Child("name"))...)
		}
		errs = append(errs, check.OneOf(s.APIGroup, []string{""}, at.Child("apiGroup"))...)
		if !namespaced && s.Namespace == "" {
			errs = append(errs, field.Required(at.Child("namespace"), ""))
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		errs = append(errs, check.OneOf(s.APIGroup, []string{rbacv1.GroupName}, at.Child("apiGroup"))...)
	default:
		errs = append(errs, field.NotSupported(at.Child("kind"), s.Kind,
			[]string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	return errs
}

// validateSameRole: who may bind one role may not be able to bind another, so
// a binding keeps the role that it was made for.
func validateSameRole(ref, old *rbacv1.RoleRef) field.ErrorList {
	if *ref == *old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), check.GoForm{Value: ref}, "cannot change roleRef")}
}

// bindingColumns: kind is how the descriptions name what they stand in.
func bindingColumns(kind, roleRef string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		columns.Name(),
		columns.String("Role", roleRef),
		columns.Age(),
		columns.Wide(columns.String("Users", "Users in the "+kind)),
		columns.Wide(columns.String("Groups", "Groups in the "+kind)),
		columns.Wide(columns.String("ServiceAccounts", "ServiceAccounts in the "+kind)),
	}
}

// subjectCells lists the subjects by sort.
func subjectCells(subjects []rbacv1.Subject) (users, groups, accounts string) {
	var u, g, a []string
	for i := range subjects {
		switch s := &subjects[i]; s.Kind {
		case rbacv1.UserKind:
			u = append(u, s.Name)
		case rbacv1.GroupKind:
			g = append(g, s.Name)
		case rbacv1.ServiceAccountKind:
			a = append(a, s.Namespace+"/"+s.Name)
		}
	}
	return strings.Join(u, ", "), strings.Join(g, ", "), strings.Join(a, ", ")
}
