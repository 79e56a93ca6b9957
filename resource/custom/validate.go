package custom

import (
	"context"
	"fmt"
	"math"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"

	"proa/resource"
)

func validateCreate(obj resource.Object) field.ErrorList {
	o := obj.(*Object)
	v := o.version
	c, err := v.checks()
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	s, _ := v.structural() // checks has asked already
	now := o.typedContent()
	errs := validation.ValidateCustomResource(nil, now, c.schema)
	errs = append(errs, v.checkScale(now)...)
	errs = append(errs, v.checkScaleStatus(now)...)
	errs = append(errs, objectmeta.Validate(nil, now, s, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s, now)...)
	return append(errs, c.checkRules(errs, now, nil)...)
}

func validateUpdate(obj, old resource.Object) field.ErrorList {
	o, was := obj.(*Object), old.(*Object)
	v := o.version
	c, err := v.checks()
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	s, _ := v.structural()
	now, before := o.typedContent(), was.typedContent()
	same := common.NewCorrelatedObject(now, before, &model.Structural{Structural: s})
	errs := validation.ValidateCustomResourceUpdate(nil, now, before, c.schema, validation.WithRatcheting(same))
	errs = append(errs, v.checkScale(now)...)
	errs = append(errs, v.checkScaleStatus(now)...)
	errs = append(errs, objectmeta.Validate(nil, now, s, false)...)
	if len(listtype.ValidateListSetsAndMaps(nil, s, before)) == 0 {
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s, now)...)
	}
	return append(errs, c.checkRules(errs, now, before, cel.WithRatcheting(same))...)
}

func validateStatus(obj, old resource.Object) field.ErrorList {
	o, was := obj.(*Object), old.(*Object)
	v := o.version
	c, err := v.checks()
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	s, _ := v.structural()
	now, before := o.typedContent(), was.typedContent()
	same := common.NewCorrelatedObject(now, before, &model.Structural{Structural: s})
	var options []validation.ValidationOption
	if s != nil {
		options = append(options, validation.WithRatcheting(same.Key("status")))
	}
	var errs field.ErrorList
	if status, ok := now["status"]; ok && c.status != nil {
		errs = validation.ValidateCustomResourceUpdate(field.NewPath("status"), status, before["status"], c.status, options...)
	}
	errs = append(errs, v.checkScaleStatus(now)...)
	if broken := listtype.ValidateListSetsAndMaps(nil, s, now); len(broken) > 0 && len(listtype.ValidateListSetsAndMaps(nil, s, before)) == 0 {
		errs = append(errs, broken...)
	}
	return append(errs, c.checkRules(errs, now, before, cel.WithRatcheting(same))...)
}

// checkRules runs the CEL rules, unless what was found already may break them.
func (c *checks) checkRules(found field.ErrorList, now, before map[string]any, o ...cel.Option) field.ErrorList {
	if c.rules == nil {
		return nil
	}
	for _, err := range found {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return field.ErrorList{field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation")}
		}
	}
	var old any // a nil map would be an old object
	if before != nil {
		old = before
	}
	errs, _ := c.rules.Validate(context.Background(), nil, nil, now, old, celconfig.RuntimeCELCostBudget, o...)
	return errs
}

// checkScale checks the count that the scale subresource writes.
func (v *Version) checkScale(now map[string]any) field.ErrorList {
	s := v.scale()
	if s == nil {
		return nil
	}
	return checkCount(now, s.SpecReplicasPath)
}

// checkScaleStatus checks what the scale subresource reports.
func (v *Version) checkScaleStatus(now map[string]any) field.ErrorList {
	s := v.scale()
	if s == nil {
		return nil
	}
	errs := checkCount(now, s.StatusReplicasPath)
	if s.LabelSelectorPath != nil {
		if text, _, err := unstructured.NestedString(now, splitPath(*s.LabelSelectorPath)...); err != nil {
			errs = append(errs, field.Invalid(field.NewPath(*s.LabelSelectorPath), text, err.Error()))
		}
	}
	return errs
}

func checkCount(now map[string]any, path string) field.ErrorList {
	n, _, err := unstructured.NestedInt64(now, splitPath(path)...)
	at := field.NewPath(path)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(at, n, err.Error())}
	case n < 0:
		return field.ErrorList{field.Invalid(at, n, "should be a non-negative integer")}
	case n > math.MaxInt32:
		return field.ErrorList{field.Invalid(at, n, fmt.Sprintf("should be less than or equal to %v", math.MaxInt32))}
	}
	return nil
}

// splitPath takes a simple JSON path apart.
func splitPath(path string) []string { return strings.Split(strings.TrimPrefix(path, "."), ".") }
