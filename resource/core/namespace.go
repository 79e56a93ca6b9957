package core

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// Namespace is the row of namespaces. A namespace is deleted in two steps: the
// first gives it a deletion timestamp and the phase Terminating, and what is
// in spec.finalizers, emptied through the finalize subresource, holds it until
// its contents are gone.
func Namespace() *resource.Definition {
	return resource.Row[*corev1.Namespace]{
		Storage:       corev1.SchemeGroupVersion,
		Kind:          "Namespace",
		Plural:        "namespaces",
		ShortNames:    []string{"ns"},
		ClusterScoped: true,
		// Upstream does not serve deletecollection of namespaces.
		Verbs:   []string{"create", "delete", "get", "list", "patch", "update", "watch"},
		New:     func() *corev1.Namespace { return new(corev1.Namespace) },
		NewList: func() runtime.Object { return new(corev1.NamespaceList) },

		ValidateName:   apivalidation.ValidateNamespaceName,
		Default:        defaultNamespace,
		PrepareCreate:  prepareNamespaceCreate,
		PrepareUpdate:  prepareNamespaceUpdate,
		Validate:       validateNamespace,
		ValidateUpdate: func(ns, _ *corev1.Namespace) field.ErrorList { return nil },
		MarkDeleted: func(_ *resource.Request, ns *corev1.Namespace) {
			ns.Status.Phase = corev1.NamespaceTerminating
		},
		Held: func(ns *corev1.Namespace) bool { return len(ns.Spec.Finalizers) > 0 },
		Updates: map[string]resource.Update[*corev1.Namespace]{
			"status": {
				PrepareUpdate:  prepareNamespaceStatus,
				ValidateUpdate: validateNamespaceStatus,
			},
			"finalize": {
				Verbs:          []string{"update"},
				PrepareUpdate:  prepareNamespaceFinalize,
				ValidateUpdate: validateNamespaceFinalize,
			},
		},
		Fields: func(ns *corev1.Namespace) map[string]string {
			// "name" is what the field was called before metadata.name.
			return map[string]string{"status.phase": string(ns.Status.Phase), "name": ns.Name}
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Status", "The status of the namespace"),
			columns.Age(),
		},
		Cells: func(ns *corev1.Namespace, now time.Time) []any {
			return []any{ns.Name, string(ns.Status.Phase), columns.Since(ns.CreationTimestamp, now)}
		},
	}.Define()
}

func defaultNamespace(ns *corev1.Namespace) {
	if ns.Name != "" && ns.Labels[corev1.LabelMetadataName] != ns.Name {
		// Every namespace can be selected by its name.
		ns.Labels = maps.Clone(ns.Labels)
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		ns.Labels[corev1.LabelMetadataName] = ns.Name
	}
	if ns.Status.Phase == "" {
		ns.Status.Phase = corev1.NamespaceActive
	}
}

func prepareNamespaceCreate(_ *resource.Request, ns *corev1.Namespace) {
	ns.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		ns.Spec.Finalizers = append(slices.Clip(ns.Spec.Finalizers), corev1.FinalizerKubernetes)
	}
	// The name may have been generated after defaulting.
	defaultNamespace(ns)
}

func prepareNamespaceUpdate(_ *resource.Request, ns, old *corev1.Namespace) {
	ns.Spec.Finalizers = old.Spec.Finalizers
	ns.Status = old.Status
}

func prepareNamespaceStatus(_ *resource.Request, ns, old *corev1.Namespace) {
	ns.Spec = old.Spec
}

func prepareNamespaceFinalize(_ *resource.Request, ns, old *corev1.Namespace) {
	ns.Status = old.Status
}

func validateNamespace(ns *corev1.Namespace) field.ErrorList {
	var errs field.ErrorList
	for _, n := range ns.Spec.Finalizers {
		// At creation upstream reports them at the list.
		errs = append(errs, validateFinalizerName(string(n), field.NewPath("spec", "finalizers"))...)
	}
	return errs
}

func validateNamespaceStatus(ns, _ *corev1.Namespace) field.ErrorList {
	at := field.NewPath("status", "Phase")
	if ns.DeletionTimestamp.IsZero() {
		if ns.Status.Phase != corev1.NamespaceActive {
			return field.ErrorList{field.Invalid(at, ns.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty")}
		}
		return nil
	}
	if ns.Status.Phase != corev1.NamespaceTerminating {
		return field.ErrorList{field.Invalid(at, ns.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")}
	}
	return nil
}

func validateNamespaceFinalize(ns, _ *corev1.Namespace) field.ErrorList {
	var errs field.ErrorList
	for i, n := range ns.Spec.Finalizers {
		errs = append(errs, validateFinalizerName(string(n), field.NewPath("spec", "finalizers").Index(i))...)
	}
	return errs
}
