package devices

import (
	"slices"
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ResourceClaim is the row of claims on devices.
func ResourceClaim() *resource.Definition {
	return resource.Row[*resourcev1.ResourceClaim]{
		Storage:      resourcev1.SchemeGroupVersion,
		Kind:         "ResourceClaim",
		Plural:       "resourceclaims",
		New:          func() *resourcev1.ResourceClaim { return new(resourcev1.ResourceClaim) },
		NewList:      func() runtime.Object { return new(resourcev1.ResourceClaimList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default: func(c *resourcev1.ResourceClaim) {
			defaultClaim(&c.Spec)
			if a := c.Status.Allocation; a != nil {
				for i := range a.Devices.Results {
					defaultTolerations(a.Devices.Results[i].Tolerations)
				}
			}
		},
		PrepareCreate: func(_ *resource.Request, c *resourcev1.ResourceClaim) {
			c.Status = resourcev1.ResourceClaimStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, c, old *resourcev1.ResourceClaim) { c.Status = *old.Status.DeepCopy() },
		Validate: func(c *resourcev1.ResourceClaim) field.ErrorList {
			return validateClaimSpec(&c.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: func(c, old *resourcev1.ResourceClaim) field.ErrorList {
			return immutable(&c.Spec, &old.Spec, field.NewPath("spec"))
		},
		Updates: map[string]resource.Update[*resourcev1.ResourceClaim]{
			"status": {Restored: []string{"metadata"}, PrepareUpdate: prepareClaimStatus, ValidateUpdate: validateClaimStatus},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("State", "A summary of the current state (allocated, pending, reserved, etc.)."),
			columns.Age(),
		},
		Cells: func(c *resourcev1.ResourceClaim, now time.Time) []any {
			return []any{c.Name, claimState(c), columns.Since(c.CreationTimestamp, now)}
		},
	}.Define()
}

// immutable refuses any change.
func immutable[T any](value, was *T, at *field.Path) field.ErrorList {
	if check.Equal(value, was) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, check.GoForm{Value: value}, check.Immutable)}
}

// prepareClaimStatus lets only the status through, without what drivers say of
// devices that this very update takes away.
func prepareClaimStatus(_ *resource.Request, c, old *resourcev1.ResourceClaim) {
	c.Spec = *old.Spec.DeepCopy()
	metav1.ResetObjectMetaForStatus(c, old.DeepCopy())
	gone := allocated(old.Status.Allocation)
	for id := range allocated(c.Status.Allocation) {
		delete(gone, id)
	}
	c.Status.Devices = slices.DeleteFunc(c.Status.Devices, func(d resourcev1.AllocatedDeviceStatus) bool { return gone[reported(&d)] })
	if len(c.Status.Devices) == 0 {
		c.Status.Devices = nil
	}
}

// claimState says in a few words how far a claim has come.
func claimState(c *resourcev1.ResourceClaim) string {
	var is []string
	if c.DeletionTimestamp != nil {
		is = append(is, "deleted")
	}
	switch {
	case c.Status.Allocation != nil:
		is = append(is, "allocated")
		if len(c.Status.ReservedFor) > 0 {
			is = append(is, "reserved")
		}
	case c.DeletionTimestamp == nil:
		is = append(is, "pending")
	}
	return strings.Join(is, ",")
}
