package custom

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"proa/resource"
)

// scaleHooks serve the scale subresource of a version, or are nil where it has
// none.
func (v *Version) scaleHooks() *resource.ScaleHooks {
	s := v.scale()
	if s == nil {
		return nil
	}
	count := splitPath(s.SpecReplicasPath)
	return &resource.ScaleHooks{
		ReplicasPath: count,
		Get: func(obj resource.Object) (*autoscalingv1.Scale, bool, error) {
			fields := obj.(*Object).fields()
			wanted, found, err := unstructured.NestedInt64(fields, count...)
			if err != nil {
				return nil, false, err
			}
			present, _, err := unstructured.NestedInt64(fields, splitPath(s.StatusReplicasPath)...)
			if err != nil {
				return nil, false, err
			}
			out := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: int32(wanted)}, Status: autoscalingv1.ScaleStatus{Replicas: int32(present)}}
			if s.LabelSelectorPath != nil && *s.LabelSelectorPath != "" {
				if out.Status.Selector, _, err = unstructured.NestedString(fields, splitPath(*s.LabelSelectorPath)...); err != nil {
					return nil, false, err
				}
			}
			return out, found, nil
		},
		Set: func(obj resource.Object, n int32) error {
			return unstructured.SetNestedField(obj.(*Object).open(), int64(n), count...)
		},
	}
}
