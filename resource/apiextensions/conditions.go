package apiextensions

import (
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition returns a condition of a definition, or nil.
func Condition(d *apiextensionsv1.CustomResourceDefinition, t apiextensionsv1.CustomResourceDefinitionConditionType) *apiextensionsv1.CustomResourceDefinitionCondition {
	i := slices.IndexFunc(d.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool { return c.Type == t })
	if i < 0 {
		return nil
	}
	return &d.Status.Conditions[i]
}

// Is reports whether a condition is there and true.
func Is(d *apiextensionsv1.CustomResourceDefinition, t apiextensionsv1.CustomResourceDefinitionConditionType) bool {
	c := Condition(d, t)
	return c != nil && c.Status == apiextensionsv1.ConditionTrue
}

// SetCondition adds or replaces a condition. Its time moves only with its
// status.
func SetCondition(d *apiextensionsv1.CustomResourceDefinition, c apiextensionsv1.CustomResourceDefinitionCondition, now metav1.Time) {
	c.LastTransitionTime = now.Rfc3339Copy()
	was := Condition(d, c.Type)
	if was == nil {
		d.Status.Conditions = append(d.Status.Conditions, c)
		return
	}
	if was.Status == c.Status && !was.LastTransitionTime.IsZero() {
		c.LastTransitionTime = was.LastTransitionTime
	}
	*was = c
}

// RemoveCondition takes a condition out.
func RemoveCondition(d *apiextensionsv1.CustomResourceDefinition, t apiextensionsv1.CustomResourceDefinitionConditionType) {
	d.Status.Conditions = slices.DeleteFunc(d.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool { return c.Type == t })
}
