package apps

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// ControllerRevision is the row of controller revisions: what a stateful set or
// a daemon set was at some time, to which it can return.
func ControllerRevision() *resource.Definition {
	return resource.Row[*appsv1.ControllerRevision]{
		Storage:      appsv1.SchemeGroupVersion,
		Kind:         "ControllerRevision",
		Plural:       "controllerrevisions",
		New:          func() *appsv1.ControllerRevision { return new(appsv1.ControllerRevision) },
		NewList:      func() runtime.Object { return new(appsv1.ControllerRevisionList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Validate:     validateControllerRevision,
		ValidateUpdate: func(r, old *appsv1.ControllerRevision) field.ErrorList {
			return append(check.NonNegative(r.Revision, field.NewPath("revision")), check.Unchanged(r.Data, old.Data, field.NewPath("data"))...)
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Controller", "Controller of the object"),
			columns.String("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
			columns.Age(),
		},
		Cells: func(r *appsv1.ControllerRevision, now time.Time) []any {
			return []any{r.Name, controllerCell(r), r.Revision, columns.Since(r.CreationTimestamp, now)}
		},
	}.Define()
}

// validateControllerRevision: the data is an object; only the controller that
// wrote it can tell whether it makes sense.
func validateControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := check.NonNegative(r.Revision, field.NewPath("revision"))
	at := field.NewPath("data")
	if r.Data.Raw == nil && r.Data.Object != nil {
		return errs
	}
	var v any
	if r.Data.Raw != nil {
		if err := json.Unmarshal(r.Data.Raw, &v); err != nil {
			return append(errs, field.Invalid(at, "<value omitted>", fmt.Sprintf("error parsing data: %v", err)))
		}
	}
	if v == nil {
		return append(errs, field.Required(at, "data is mandatory"))
	}
	if _, ok := v.(map[string]any); !ok {
		errs = append(errs, field.Required(at, "data must be a valid JSON object"))
	}
	return errs
}

// controllerCell names the controller of an object as "daemonset.apps/name".
func controllerCell(o metav1.Object) string {
	ref := metav1.GetControllerOf(o)
	if ref == nil {
		return columns.None
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return columns.None
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: ref.Kind}
	return strings.ToLower(kind.String()) + "/" + ref.Name
}
