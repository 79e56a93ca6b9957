package rest

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/apiserver/request"
	"proa/resource"
	"proa/resource/check"
)

var metadata = field.NewPath("metadata")

// placeInNamespace makes the namespace of an object that of the request, or
// refuses one that contradicts it.
func placeInNamespace(c *request.Call, obj metav1.Object) error {
	ns := c.Namespace
	if c.Match.ClusterScoped {
		ns = ""
	}
	switch obj.GetNamespace() {
	case ns:
	case "":
		obj.SetNamespace(ns)
	default:
		if ns != "" {
			return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
		}
		obj.SetNamespace("")
	}
	return nil
}

// checkName compares the name in a body with that in the URL.
func checkName(c *request.Call, obj metav1.Object) error {
	switch obj.GetName() {
	case c.Name:
		return nil
	case "":
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: name must be provided", c.Name))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), c.Name))
}

// wipe clears what the server sets at creation.
func wipe(obj metav1.Object) {
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetUID("")
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
}

// validateCreate checks the metadata and then the kind's own rules.
func validateCreate(d *resource.Definition, s *resource.Served, obj resource.Object) error {
	errs := apivalidation.ValidateObjectMetaAccessor(obj, !d.ClusterScoped, d.ValidateName, metadata)
	errs = append(errs, checkFinalizers(d, obj)...)
	errs = append(errs, d.Validate(obj)...)
	return invalid(d, obj, append(errs, validateServed(s, obj, nil)...))
}

// checkFinalizers wants a domain in the names of finalizers, of most kinds.
func checkFinalizers(d *resource.Definition, obj resource.Object) field.ErrorList {
	if d.AnyFinalizer {
		return nil
	}
	return check.Finalizers(obj.GetFinalizers(), metadata.Child("finalizers"))
}

// validateServed makes the checks that only a version beside the stored one
// makes, on the object as it is there. old is nil at creation.
func validateServed(s *resource.Served, obj, old resource.Object) field.ErrorList {
	if s.Storage {
		return nil
	}
	now, err := s.To(obj)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	var was resource.Object
	if old != nil {
		if was, err = s.To(old); err != nil {
			return field.ErrorList{field.InternalError(nil, err)}
		}
	}
	return s.Validate(now, was)
}

// validateUpdate checks a changed object, the metadata first. Names cannot
// change, so their form is not checked again.
func validateUpdate(d *resource.Definition, hooks *resource.UpdateHooks, obj, old resource.Object) error {
	errs := apivalidation.ValidateObjectMetaAccessor(obj, !d.ClusterScoped, anyName, metadata)
	errs = append(errs, apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, metadata)...)
	errs = append(errs, checkFinalizers(d, obj)...)
	return invalid(d, obj, append(errs, hooks.ValidateUpdate(obj, old)...))
}

// anyName accepts what can be a segment of a path.
func anyName(name string, _ bool) []string {
	if name == "." || name == ".." || strings.ContainsAny(name, "/%") {
		return []string{"may not contain '/' or '%', and may not be '.' or '..'"}
	}
	return nil
}

func invalid(d *resource.Definition, obj resource.Object, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(d.GroupVersionKind().GroupKind(), obj.GetName(), distinct(errs))
}

// distinct drops errors that say the same twice, since metadata may be looked
// at by the caller and by the kind.
func distinct(errs field.ErrorList) field.ErrorList {
	if len(errs) == 1 {
		return errs
	}
	seen := make(map[string]bool, len(errs))
	out := errs[:0]
	for _, e := range errs {
		if k := e.Error(); !seen[k] {
			seen[k] = true
			out = append(out, e)
		}
	}
	return out
}

const (
	duplicateOwners      = ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %v"
	duplicateOwnersAfter = ".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %v"
)

// dedupOwners removes equal owner references, with a warning.
func dedupOwners(c *request.Call, obj metav1.Object, afterAdmission bool) {
	refs := obj.GetOwnerReferences()
	if len(refs) < 2 {
		return
	}
	var kept []metav1.OwnerReference
	var dropped []string
	for _, r := range refs {
		if hasOwner(kept, r) {
			dropped = append(dropped, string(r.UID))
			continue
		}
		kept = append(kept, r)
	}
	if len(dropped) == 0 {
		return
	}
	format := duplicateOwners
	if afterAdmission {
		format = duplicateOwnersAfter
	}
	c.Warn(fmt.Sprintf(format, strings.Join(dropped, ", ")))
	obj.SetOwnerReferences(kept)
}

func hasOwner(refs []metav1.OwnerReference, r metav1.OwnerReference) bool {
	same := func(a, b *bool) bool { return a == b || (a != nil && b != nil && *a == *b) }
	for _, o := range refs {
		if o.UID == r.UID && o.Name == r.Name && o.Kind == r.Kind && o.APIVersion == r.APIVersion &&
			same(o.Controller, r.Controller) && same(o.BlockOwnerDeletion, r.BlockOwnerDeletion) {
			return true
		}
	}
	return false
}

// preconditions compares what a client said about the object with what it is.
func preconditions(d *resource.Definition, obj metav1.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	gr := d.GroupResource()
	gr.Resource = d.Kind // as upstream has it
	if p.UID != nil && *p.UID != obj.GetUID() {
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, obj.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != obj.GetResourceVersion() {
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// sameUID is the precondition of a PUT that names a uid.
func sameUID(d *resource.Definition, key string, old metav1.Object, uid types.UID) error {
	if uid == "" || uid == old.GetUID() {
		return nil
	}
	return apierrors.NewConflict(d.GroupResource(), old.GetName(), fmt.Errorf(
		"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: %v, UID in object meta: %v",
		key, uid, old.GetUID()))
}

// modified is the conflict of a write with a resourceVersion that is no longer
// that of the object.
func modified(d *resource.Definition, name string) error {
	return apierrors.NewConflict(d.GroupResource(), name, errModified)
}

var errModified = fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again")
