package storage

import (
	"slices"
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// Limits of a CSI driver, in seconds.
const (
	minTokenLifetime     = 10 * 60
	maxTokenLifetime     = 1 << 32
	minAllocatablePeriod = 10
)

// CSIDriver is the row of CSI drivers: what the system has to know about a
// driver to use it.
func CSIDriver() *resource.Definition {
	doc := storagev1.CSIDriverSpec{}.SwaggerDoc()
	return resource.Row[*storagev1.CSIDriver]{
		Storage:                storagev1.SchemeGroupVersion,
		Kind:                   "CSIDriver",
		Plural:                 "csidrivers",
		ClusterScoped:          true,
		RequireResourceVersion: true,
		New:                    func() *storagev1.CSIDriver { return new(storagev1.CSIDriver) },
		NewList:                func() runtime.Object { return new(storagev1.CSIDriverList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Default:                defaultCSIDriver,
		PrepareCreate: func(_ *resource.Request, d *storagev1.CSIDriver) {
			d.Spec.PreventPodSchedulingIfMissing = nil
		},
		PrepareUpdate: func(_ *resource.Request, d, old *storagev1.CSIDriver) {
			// Off by default; what another server has stored may stay.
			if old.Spec.PreventPodSchedulingIfMissing == nil {
				d.Spec.PreventPodSchedulingIfMissing = nil
			}
		},
		Warnings: csiDriverWarnings,
		Validate: validateCSIDriver,
		ValidateUpdate: func(d, old *storagev1.CSIDriver) field.ErrorList {
			errs := validateCSIDriver(d)
			spec := field.NewPath("spec")
			errs = append(errs, check.Unchanged(d.Spec.AttachRequired, old.Spec.AttachRequired, spec.Child("attachedRequired"))...)
			return append(errs, check.Unchanged(d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes, spec.Child("volumeLifecycleModes"))...)
		},
		Spec: func(d *storagev1.CSIDriver) any { return &d.Spec },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Boolean("AttachRequired", doc["attachRequired"]),
			columns.Boolean("PodInfoOnMount", doc["podInfoOnMount"]),
			columns.Boolean("StorageCapacity", doc["storageCapacity"]),
			columns.String("TokenRequests", doc["tokenRequests"]),
			columns.Boolean("RequiresRepublish", doc["requiresRepublish"]),
			columns.String("Modes", doc["volumeLifecycleModes"]),
			columns.Age(),
		},
		Cells: func(d *storagev1.CSIDriver, now time.Time) []any {
			audiences := columns.Unset
			if len(d.Spec.TokenRequests) > 0 {
				var list []string
				for _, r := range d.Spec.TokenRequests {
					list = append(list, r.Audience)
				}
				audiences = strings.Join(list, ",")
			}
			var modes []string
			for _, m := range d.Spec.VolumeLifecycleModes {
				modes = append(modes, string(m))
			}
			return []any{
				d.Name, ptr.Deref(d.Spec.AttachRequired, true), ptr.Deref(d.Spec.PodInfoOnMount, false),
				ptr.Deref(d.Spec.StorageCapacity, false), audiences, ptr.Deref(d.Spec.RequiresRepublish, false),
				strings.Join(modes, ","), columns.Since(d.CreationTimestamp, now),
			}
		},
	}.Define()
}

func defaultCSIDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	for _, f := range []struct {
		field **bool
		value bool
	}{
		{&s.AttachRequired, true}, {&s.PodInfoOnMount, false}, {&s.StorageCapacity, false},
		{&s.RequiresRepublish, false}, {&s.SELinuxMount, false},
	} {
		if *f.field == nil {
			*f.field = &f.value
		}
	}
	if s.FSGroupPolicy == nil {
		s.FSGroupPolicy = new(storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	}
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

func validateCSIDriver(d *storagev1.CSIDriver) field.ErrorList {
	s, at := &d.Spec, field.NewPath("spec")
	var errs field.ErrorList
	for _, f := range []struct {
		field *bool
		name  string
	}{
		{s.AttachRequired, "attachedRequired"}, {s.PodInfoOnMount, "podInfoOnMount"}, {s.StorageCapacity, "storageCapacity"},
	} {
		if f.field == nil {
			errs = append(errs, field.Required(at.Child(f.name), ""))
		}
	}
	if p := s.FSGroupPolicy; p == nil {
		errs = append(errs, field.Required(at.Child("fsGroupPolicy"), ""))
	} else {
		errs = append(errs, check.OneOf(*p, []storagev1.FSGroupPolicy{
			storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy,
		}, at.Child("fsGroupPolicy"))...)
	}
	errs = append(errs, validateTokenRequests(s.TokenRequests, at.Child("tokenRequests"))...)
	for _, m := range s.VolumeLifecycleModes {
		errs = append(errs, check.OneOf(m, []storagev1.VolumeLifecycleMode{
			storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral,
		}, at.Child("volumeLifecycleModes"))...)
	}
	if s.SELinuxMount == nil {
		errs = append(errs, field.Required(at.Child("seLinuxMount"), ""))
	}
	if n := s.NodeAllocatableUpdatePeriodSeconds; n != nil && *n < minAllocatablePeriod {
		errs = append(errs, field.Invalid(at.Child("nodeAllocatableUpdatePeriodSeconds"), *n, "must be greater than or equal to 10 seconds"))
	}
	if b := s.ServiceAccountTokenInSecrets; b != nil && len(s.TokenRequests) == 0 {
		errs = append(errs, field.Invalid(at.Child("serviceAccountTokenInSecrets"), *b, "serviceAccountTokenInSecrets is set but no tokenRequests are specified"))
	}
	return errs
}

// csiDriverWarnings: who begins to ask for tokens should get them where they are
// not logged.
func csiDriverWarnings(d, old *storagev1.CSIDriver) []string {
	asks := len(d.Spec.TokenRequests) > 0 && (old == nil || !check.Equal(d.Spec.TokenRequests, old.Spec.TokenRequests))
	if !asks || d.Spec.ServiceAccountTokenInSecrets != nil {
		return nil
	}
	return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"}
}

func validateTokenRequests(rs []storagev1.TokenRequest, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	var seen []string
	for i, r := range rs {
		at := at.Index(i)
		if slices.Contains(seen, r.Audience) {
			errs = append(errs, field.Duplicate(at.Child("audience"), r.Audience))
			continue
		}
		seen = append(seen, r.Audience)
		if n := r.ExpirationSeconds; n != nil {
			if *n < minTokenLifetime {
				errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *n, "may not specify a duration less than 10 minutes"))
			}
			if *n > maxTokenLifetime {
				errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *n, "may not specify a duration larger than 2^32 seconds"))
			}
		}
	}
	return errs
}
