package coordination

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// Lease is the row of leases. A lease is written on every renewal by whoever
// holds it, so it must name the version that it has seen: two who believe that
// they lead must not overwrite one another.
func Lease() *resource.Definition {
	return resource.Row[*coordinationv1.Lease]{
		Storage:                coordinationv1.SchemeGroupVersion,
		Kind:                   "Lease",
		AnyFinalizer:           true,
		Plural:                 "leases",
		New:                    func() *coordinationv1.Lease { return new(coordinationv1.Lease) },
		NewList:                func() runtime.Object { return new(coordinationv1.LeaseList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		CreateOnUpdate:         true,
		RequireResourceVersion: true,
		PrepareCreate: func(_ *resource.Request, l *coordinationv1.Lease) {
			l.Spec.Strategy, l.Spec.PreferredHolder = nil, nil
		},
		PrepareUpdate: func(_ *resource.Request, l, old *coordinationv1.Lease) {
			// Coordinated leader election is off by default; what another
			// server has stored of it may stay.
			if old.Spec.Strategy == nil {
				l.Spec.Strategy = nil
			}
			if old.Spec.PreferredHolder == nil {
				l.Spec.PreferredHolder = nil
			}
		},
		Validate:       validateLease,
		ValidateUpdate: func(l, _ *coordinationv1.Lease) field.ErrorList { return validateLease(l) },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]),
			columns.Age(),
		},
		Cells: func(l *coordinationv1.Lease, now time.Time) []any {
			return []any{l.Name, ptr.Deref(l.Spec.HolderIdentity, ""), columns.Since(l.CreationTimestamp, now)}
		},
	}.Define()
}

func validateLease(l *coordinationv1.Lease) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("spec")
	if d := l.Spec.LeaseDurationSeconds; d != nil && *d <= 0 {
		errs = append(errs, field.Invalid(at.Child("leaseDurationSeconds"), *d, "must be greater than 0"))
	}
	if n := l.Spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(at.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	if s := l.Spec.Strategy; s != nil {
		errs = append(errs, validateStrategy(*s, at.Child("strategy"))...)
	}
	if h := l.Spec.PreferredHolder; h != nil && *h != "" && ptr.Deref(l.Spec.Strategy, "") == "" {
		errs = append(errs, field.Forbidden(at.Child("preferredHolder"), "may only be specified when `strategy` is defined"))
	}
	return errs
}

// validateStrategy: strategies beside the one of Kubernetes are named with
// their owner's domain.
func validateStrategy(s coordinationv1.CoordinatedLeaseStrategy, at *field.Path) field.ErrorList {
	if s == coordinationv1.OldestEmulationVersion {
		return nil
	}
	return check.QualifiedName(string(s), at)
}
