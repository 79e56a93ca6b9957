package storage

import (
	"fmt"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// maxNodeID is the longest name that a driver may have for a node; drivers that
// were registered when the limit was 192 are within it.
const maxNodeID = 256

// CSINode is the row of CSI nodes: the drivers that run on a node, and what
// they call it.
func CSINode() *resource.Definition {
	return resource.Row[*storagev1.CSINode]{
		Storage:                storagev1.SchemeGroupVersion,
		Kind:                   "CSINode",
		Plural:                 "csinodes",
		ClusterScoped:          true,
		RequireResourceVersion: true,
		New:                    func() *storagev1.CSINode { return new(storagev1.CSINode) },
		NewList:                func() runtime.Object { return new(storagev1.CSINodeList) },
		ValidateName:           apivalidation.NameIsDNSSubdomain,
		Validate:               validateCSINode,
		ValidateUpdate:         validateCSINodeUpdate,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Drivers", "Drivers indicates the number of CSI drivers registered on the node"),
			columns.Age(),
		},
		Cells: func(n *storagev1.CSINode, now time.Time) []any {
			return []any{n.Name, int64(len(n.Spec.Drivers)), columns.Since(n.CreationTimestamp, now)}
		},
	}.Define()
}

func validateCSINode(n *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range n.Spec.Drivers {
		d, at := &n.Spec.Drivers[i], field.NewPath("spec", "drivers").Index(i)
		errs = append(errs, check.CSIDriverName(d.Name, at.Child("name"))...)
		switch size := len(d.NodeID); {
		case size == 0:
			errs = append(errs, field.Required(at.Child("nodeID"), ""))
		case size > maxNodeID:
			errs = append(errs, field.Invalid(at.Child("nodeID"), d.NodeID, fmt.Sprintf("must be %d characters or less", maxNodeID)))
		}
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			errs = append(errs, check.NonNegative(int64(*d.Allocatable.Count), at.Child("allocatable", "count"))...)
		}
		if seen[d.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), d.Name))
		}
		seen[d.Name] = true
		errs = append(errs, validateTopologyKeys(d.TopologyKeys, at)...)
	}
	return errs
}

func validateTopologyKeys(keys []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for _, k := range keys {
		if k == "" {
			errs = append(errs, field.Required(at, k))
		}
		if seen[k] {
			errs = append(errs, field.Duplicate(at, k))
		}
		seen[k] = true
		errs = append(errs, check.QualifiedName(k, at)...)
	}
	return errs
}

// validateCSINodeUpdate: a driver comes and goes as a whole; only how many
// volumes it can attach may change while it is there.
func validateCSINodeUpdate(n, old *storagev1.CSINode) field.ErrorList {
	errs := validateCSINode(n)
	for i := range old.Spec.Drivers {
		for k := range n.Spec.Drivers {
			was, is := old.Spec.Drivers[i], n.Spec.Drivers[k]
			if was.Name != is.Name {
				continue
			}
			was.Allocatable = is.Allocatable
			if !check.Equal(was, is) {
				errs = append(errs, field.Invalid(field.NewPath("spec", "drivers"), check.GoForm{Value: is}, "field is immutable"))
			}
		}
	}
	return errs
}
