package check

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NodeName is the rule for names of nodes.
func NodeName(name string, at *field.Path) field.ErrorList {
	return Messages(apivalidation.NameIsDNSSubdomain(name, false), name, at)
}

// NodeSelector checks a selector that nodes have to match. With anyValue, the
// values need not be possible label values, which old objects may rely on.
func NodeSelector(s *corev1.NodeSelector, anyValue bool, at *field.Path) field.ErrorList {
	at = at.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(at, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, NodeSelectorTerm(&s.NodeSelectorTerms[i], anyValue, at.Index(i))...)
	}
	return errs
}

// NodeSelectorTerm checks one alternative of a [NodeSelector].
func NodeSelectorTerm(t *corev1.NodeSelectorTerm, anyValue bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range t.MatchExpressions {
		errs = append(errs, nodeSelectorRequirement(&t.MatchExpressions[i], anyValue, at.Child("matchExpressions").Index(i))...)
	}
	for i := range t.MatchFields {
		errs = append(errs, nodeFieldRequirement(&t.MatchFields[i], at.Child("matchFields").Index(i))...)
	}
	return errs
}

func nodeSelectorRequirement(r *corev1.NodeSelectorRequirement, anyValue bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	values := at.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	errs = append(errs, metavalidation.ValidateLabelName(r.Key, at.Child("key"))...)
	if anyValue {
		return errs
	}
	for i, v := range r.Values {
		errs = append(errs, Messages(validation.IsValidLabelValue(v), v, values.Index(i))...)
	}
	return errs
}

// nodeFieldRequirement selects by the one field that can be: the name.
func nodeFieldRequirement(r *corev1.NodeSelectorRequirement, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
	default:
		errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	if r.Key != metav1.ObjectNameField {
		return append(errs, field.Invalid(at.Child("key"), r.Key, "not a valid field selector key"))
	}
	for i, v := range r.Values {
		errs = append(errs, NodeName(v, at.Child("values").Index(i))...)
	}
	return errs
}

// PreferredSchedulingTerms checks weighted preferences among nodes. Values that
// no label can have are let through, as they always were.
func PreferredSchedulingTerms(ts []corev1.PreferredSchedulingTerm, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ts {
		errs = append(errs, Weight(ts[i].Weight, at.Index(i).Child("weight"))...)
		errs = append(errs, NodeSelectorTerm(&ts[i].Preference, true, at.Index(i).Child("preference"))...)
	}
	return errs
}

// Weight of a scheduling preference.
func Weight(w int32, at *field.Path) field.ErrorList {
	if w <= 0 || w > 100 {
		return field.ErrorList{field.Invalid(at, w, "must be in the range 1-100")}
	}
	return nil
}

// Tolerations checks what taints are tolerated.
func Tolerations(ts []corev1.Toleration, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ts {
		t, at := &ts[i], at.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			if m := validation.IsValidLabelValue(t.Value); len(m) != 0 {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Value, strings.Join(m, ";")))
			}
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Value, "value must be empty when `operator` is 'Exists'"))
			}
		case corev1.TolerationOpLt, corev1.TolerationOpGt:
			// Comparisons are off by default, but known.
			errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator, []corev1.TolerationOperator{
				corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt,
			}))
		default:
			errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator, []corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
		}
		if t.Effect != "" {
			errs = append(errs, TaintEffect(t.Effect, at.Child("effect"))...)
		}
	}
	return errs
}

// TaintEffect is what a taint does to pods that do not tolerate it.
func TaintEffect(e corev1.TaintEffect, at *field.Path) field.ErrorList {
	if e == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return OneOf(e, []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}, at)
}

// TopologySelectorTerm checks where a volume may be made available.
func TopologySelectorTerm(t *corev1.TopologySelectorTerm, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	keys := map[string]bool{}
	for i, r := range t.MatchLabelExpressions {
		at := at.Child("matchLabelExpressions").Index(i)
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(at.Child("values"), ""))
		}
		seen := map[string]bool{}
		for j, v := range r.Values {
			if seen[v] {
				errs = append(errs, field.Duplicate(at.Child("values").Index(j), v))
			}
			seen[v] = true
		}
		errs = append(errs, metavalidation.ValidateLabelName(r.Key, at.Child("key"))...)
		if keys[r.Key] {
			errs = append(errs, field.Duplicate(at.Child("key"), r.Key))
		}
		keys[r.Key] = true
	}
	return errs
}
