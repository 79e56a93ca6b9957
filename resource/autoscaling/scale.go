package autoscaling

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NewScale makes the scale view of an object: how many replicas are wanted, how
// many there are, and the selector of their pods in the form of a query.
func NewScale(of metav1.Object, want, have int32, selector string) *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name:              of.GetName(),
			Namespace:         of.GetNamespace(),
			UID:               of.GetUID(),
			ResourceVersion:   of.GetResourceVersion(),
			CreationTimestamp: of.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: want},
		Status: autoscalingv1.ScaleStatus{Replicas: have, Selector: selector},
	}
}

// SelectorQuery writes a label selector in the form of a query. A selector that
// cannot be parsed, which validation does not let through, selects nothing and
// is written as nothing.
func SelectorQuery(s *metav1.LabelSelector) string {
	parsed, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return ""
	}
	return parsed.String()
}

// ValidateScale checks a scale that a client has sent.
func ValidateScale(s *autoscalingv1.Scale) field.ErrorList {
	if s.Spec.Replicas < 0 {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), s.Spec.Replicas, "must be greater than or equal to 0")}
	}
	return nil
}
