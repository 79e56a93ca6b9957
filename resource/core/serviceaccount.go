package core

import (
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// ServiceAccount is the row of service accounts. Tokens come from the token
// subresource; the secrets listed are those made by hand.
func ServiceAccount() *resource.Definition {
	return resource.Row[*corev1.ServiceAccount]{
		Storage:        corev1.SchemeGroupVersion,
		Kind:           "ServiceAccount",
		Plural:         "serviceaccounts",
		ShortNames:     []string{"sa"},
		New:            func() *corev1.ServiceAccount { return new(corev1.ServiceAccount) },
		NewList:        func() runtime.Object { return new(corev1.ServiceAccountList) },
		ValidateName:   apivalidation.ValidateServiceAccountName,
		ReturnDeleted:  true,
		PrepareCreate:  prepareServiceAccount,
		PrepareUpdate:  func(r *resource.Request, sa, _ *corev1.ServiceAccount) { prepareServiceAccount(r, sa) },
		ValidateUpdate: func(_, _ *corev1.ServiceAccount) field.ErrorList { return nil },
		Connects: []resource.Connect{{
			Name:  "token",
			Kind:  authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"),
			Verbs: []string{"create"},
		}},
		Warnings: serviceAccountWarnings,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Age(),
		},
		Cells: func(sa *corev1.ServiceAccount, now time.Time) []any {
			return []any{sa.Name, columns.Since(sa.CreationTimestamp, now)}
		},
	}.Define()
}

// enforceMountableSecrets has been deprecated upstream since v1.32.
const enforceMountableSecrets = "kubernetes.io/enforce-mountable-secrets"

// prepareServiceAccount keeps only the names of secrets: other parts of the
// references have never meant anything.
func prepareServiceAccount(_ *resource.Request, sa *corev1.ServiceAccount) {
	if len(sa.Secrets) == 0 {
		return
	}
	secrets := make([]corev1.ObjectReference, len(sa.Secrets))
	for i, s := range sa.Secrets {
		secrets[i] = corev1.ObjectReference{Name: s.Name}
	}
	sa.Secrets = secrets
}

func serviceAccountWarnings(sa, old *corev1.ServiceAccount) []string {
	if sa.Annotations[enforceMountableSecrets] == "true" && (old == nil || old.Annotations[enforceMountableSecrets] != "true") {
		return []string{`metadata.annotations[` + enforceMountableSecrets + `]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`}
	}
	return nil
}
