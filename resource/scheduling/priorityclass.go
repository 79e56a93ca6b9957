package scheduling

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

const (
	// HighestUserPriority is the largest value that a priority class may have
	// that is not part of the system.
	HighestUserPriority int32 = 1_000_000_000
	// systemPrefix begins the names that are kept for SystemClasses.
	systemPrefix = "system-"
)

// SystemClasses are the priority classes that every cluster has. The API server
// makes them at start, and nobody else can make one whose name begins alike.
func SystemClasses() []*schedulingv1.PriorityClass {
	make1 := func(name string, value int32, about string) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: about,
		}
	}
	return []*schedulingv1.PriorityClass{
		make1("system-node-critical", 2*HighestUserPriority+1000,
			"Used for system critical pods that must not be moved from their current node."),
		make1("system-cluster-critical", 2*HighestUserPriority,
			"Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
	}
}

// PriorityClass is the row of priority classes.
func PriorityClass() *resource.Definition {
	return resource.Row[*schedulingv1.PriorityClass]{
		Storage:       schedulingv1.SchemeGroupVersion,
		Kind:          "PriorityClass",
		Plural:        "priorityclasses",
		ShortNames:    []string{"pc"},
		ClusterScoped: true,
		New:           func() *schedulingv1.PriorityClass { return new(schedulingv1.PriorityClass) },
		NewList:       func() runtime.Object { return new(schedulingv1.PriorityClassList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Default: func(c *schedulingv1.PriorityClass) {
			if c.PreemptionPolicy == nil {
				c.PreemptionPolicy = new(corev1.PreemptLowerPriority)
			}
		},
		// A class has a generation, which stays 1: nothing that matters in it
		// can change.
		Spec: func(*schedulingv1.PriorityClass) any { return nil },
		Keep: func(c *schedulingv1.PriorityClass) string {
			for _, s := range SystemClasses() {
				if s.Name == c.Name {
					return "this is a system priority class and cannot be deleted"
				}
			}
			return ""
		},
		Validate:       validatePriorityClass,
		ValidateUpdate: validatePriorityClassUpdate,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Integer("Value", schedulingv1.PriorityClass{}.SwaggerDoc()["value"]),
			columns.Boolean("Global-Default", schedulingv1.PriorityClass{}.SwaggerDoc()["globalDefault"]),
			columns.Age(),
			columns.String("PreemptionPolicy", schedulingv1.PriorityClass{}.SwaggerDoc()["preemptionPolicy"]),
		},
		Cells: func(c *schedulingv1.PriorityClass, now time.Time) []any {
			return []any{c.Name, int64(c.Value), c.GlobalDefault, columns.Since(c.CreationTimestamp, now), string(ptr.Deref(c.PreemptionPolicy, ""))}
		},
	}.Define()
}

func validatePriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	switch {
	case strings.HasPrefix(c.Name, systemPrefix):
		if why := notSystemClass(c); why != "" {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"),
				"priority class names with '"+systemPrefix+"' prefix are reserved for system use only. error: "+why))
		}
	case c.Value > HighestUserPriority:
		errs = append(errs, field.Forbidden(field.NewPath("value"),
			fmt.Sprintf("maximum allowed value of a user defined priority is %v", HighestUserPriority)))
	}
	if p := c.PreemptionPolicy; p != nil {
		errs = append(errs, validatePreemptionPolicy(*p, field.NewPath("preemptionPolicy"))...)
	}
	return errs
}

func validatePreemptionPolicy(p corev1.PreemptionPolicy, at *field.Path) field.ErrorList {
	switch p {
	case corev1.PreemptLowerPriority, corev1.PreemptNever:
		return nil
	case "":
		return field.ErrorList{field.Required(at, "")}
	}
	return field.ErrorList{field.NotSupported(at, p, []corev1.PreemptionPolicy{corev1.PreemptLowerPriority, corev1.PreemptNever})}
}

// notSystemClass says in what way a class differs from those of the system, or
// nothing where it is one of them.
func notSystemClass(c *schedulingv1.PriorityClass) string {
	for _, s := range SystemClasses() {
		if s.Name != c.Name {
			continue
		}
		if s.Value != c.Value {
			return fmt.Sprintf("value of %v PriorityClass must be %v", s.Name, s.Value)
		}
		if s.GlobalDefault != c.GlobalDefault {
			return fmt.Sprintf("globalDefault of %v PriorityClass must be %v", s.Name, s.GlobalDefault)
		}
		return ""
	}
	return fmt.Sprintf("%v is not a known system priority class", c.Name)
}

// validatePriorityClassUpdate: pods carry a copy of the value and the policy, so
// a class keeps them.
func validatePriorityClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if c.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, check.Unchanged(c.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
}
