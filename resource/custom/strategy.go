package custom

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
)

func prepareCreate(_ *resource.Request, obj resource.Object) {
	o := obj.(*Object)
	if o.version.hasStatus() {
		delete(o.open(), "status")
	}
	o.Generation = 1
}

// prepareUpdate keeps the status where it has a subresource of its own. What
// else is changed beside metadata is a new generation.
func prepareUpdate(_ *resource.Request, obj, old resource.Object) {
	o, was := obj.(*Object), old.(*Object)
	tree, before := o.open(), was.fields()
	if o.version.hasStatus() {
		if status, ok := before["status"]; ok {
			tree["status"] = status // parsed for this call: nobody else has it
		} else {
			delete(tree, "status")
		}
	}
	o.Generation = was.Generation
	if !equality.Semantic.DeepEqual(tree, before) {
		o.Generation++
	}
}

// prepareStatus takes nothing of the new object but its status.
func prepareStatus(_ *resource.Request, obj, old resource.Object) {
	o := obj.(*Object)
	status, ok := o.fields()["status"]
	if ok {
		status = runtime.DeepCopyJSONValue(status)
	}
	managed := o.ManagedFields
	*o = *old.DeepCopyObject().(*Object)
	o.ManagedFields = managed
	if ok {
		o.open()["status"] = status
	} else {
		delete(o.open(), "status")
	}
}

var standardFinalizers = sets.New(metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(corev1.FinalizerKubernetes))

// warnings are about the names of finalizers that are new.
func warnings(obj, old resource.Object) []string {
	added := sets.New(obj.GetFinalizers()...)
	if old != nil {
		added = added.Difference(sets.New(old.GetFinalizers()...))
	}
	var out []string
	at := field.NewPath("metadata", "finalizers")
	for _, f := range sets.List(added) {
		for _, msg := range utilvalidation.IsQualifiedName(f) {
			out = append(out, fmt.Sprintf("%s: %q: %s", at, f, msg))
		}
		if strings.Contains(f, "/") || standardFinalizers.Has(f) {
			continue
		}
		path := ""
		if strings.Contains(f, ".") {
			path = " including a path (/)"
		}
		out = append(out, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name%s to avoid accidental conflicts with other finalizer writers", at, f, path))
	}
	return out
}
