package autoscaling

import (
	"encoding/json"
	"fmt"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"proa/resource"
)

// The annotations in which v1 keeps what it has no fields for.
const (
	metricsAnnotation    = "autoscaling.alpha.kubernetes.io/metrics"
	currentAnnotation    = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsAnnotation = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorAnnotation   = "autoscaling.alpha.kubernetes.io/behavior"
	// exactAnnotation is Proa's own. It is there only where the others do not
	// say all, such as the place of the CPU metric among several.
	exactAnnotation = "autoscaling.proa.dev/exact"
)

var notes = []string{metricsAnnotation, currentAnnotation, conditionsAnnotation, behaviorAnnotation, exactAnnotation}

// exact is what exactAnnotation holds. It counts as long as the rest of the
// object is what was made of it; a client that changes something means that.
type exact struct {
	Metrics        []autoscalingv2.MetricSpec
	CurrentMetrics []autoscalingv2.MetricStatus
	Conditions     []autoscalingv2.HorizontalPodAutoscalerCondition
	Behavior       *autoscalingv2.HorizontalPodAutoscalerBehavior
}

// version1 serves the autoscalers as autoscaling/v1.
func version1() resource.Version[*hpa] {
	return resource.Version[*hpa]{
		GroupVersion: autoscalingv1.SchemeGroupVersion,
		New:          func() resource.Object { return new(autoscalingv1.HorizontalPodAutoscaler) },
		NewList:      func() runtime.Object { return new(autoscalingv1.HorizontalPodAutoscalerList) },
		Default: func(o resource.Object) {
			if h, ok := o.(*autoscalingv1.HorizontalPodAutoscaler); ok && h.Spec.MinReplicas == nil {
				h.Spec.MinReplicas = new(int32(1))
			}
		},
		To:   toVersion1,
		From: fromVersion1,
	}
}

func toVersion1(h *hpa) (resource.Object, error) {
	out, err := view1(h)
	if err != nil {
		return nil, err
	}
	if equality.Semantic.DeepEqual(read1(out), h) {
		return out, nil
	}
	b, err := json.Marshal(exact{h.Spec.Metrics, h.Status.CurrentMetrics, h.Status.Conditions, h.Spec.Behavior})
	if err != nil {
		return nil, fmt.Errorf("write annotation %s: %w", exactAnnotation, err)
	}
	out.Annotations = maps.Clone(out.Annotations)
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[exactAnnotation] = string(b)
	return out, nil
}

func fromVersion1(o resource.Object) (*hpa, error) {
	h, ok := o.(*autoscalingv1.HorizontalPodAutoscaler)
	if !ok {
		return nil, fmt.Errorf("convert autoscaler: it is a %T", o)
	}
	out := read1(h)
	note, ok := h.Annotations[exactAnnotation]
	if !ok {
		return out, nil
	}
	var e exact
	if json.Unmarshal([]byte(note), &e) != nil {
		return out, nil
	}
	was := out.DeepCopy()
	was.Spec.Metrics, was.Spec.Behavior = e.Metrics, e.Behavior
	was.Status.CurrentMetrics, was.Status.Conditions = e.CurrentMetrics, e.Conditions
	if again, err := view1(was); err == nil && equality.Semantic.DeepEqual(read1(again), out) {
		return was, nil
	}
	return out, nil
}

// view1 is an autoscaler as upstream's v1 shows it.
func view1(h *hpa) (*autoscalingv1.HorizontalPodAutoscaler, error) {
	out := &autoscalingv1.HorizontalPodAutoscaler{
		TypeMeta:   h.TypeMeta,
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas,
			MaxReplicas:    h.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration,
			LastScaleTime:      h.Status.LastScaleTime,
			CurrentReplicas:    h.Status.CurrentReplicas,
			DesiredReplicas:    h.Status.DesiredReplicas,
		},
	}
	var metrics []autoscalingv1.MetricSpec
	for i := range h.Spec.Metrics {
		m := &h.Spec.Metrics[i]
		if cpu := utilizationOfCPU(m); cpu != nil && out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = cpu
			continue
		}
		metrics = append(metrics, metricTo1(m))
	}
	var current []autoscalingv1.MetricStatus
	for i := range h.Status.CurrentMetrics {
		m := &h.Status.CurrentMetrics[i]
		if r := m.Resource; m.Type == autoscalingv2.ResourceMetricSourceType && r != nil && r.Name == corev1.ResourceCPU &&
			out.Status.CurrentCPUUtilizationPercentage == nil {
			out.Status.CurrentCPUUtilizationPercentage = r.Current.AverageUtilization
		}
		current = append(current, statusTo1(m))
	}
	write := map[string]any{}
	if len(metrics) > 0 {
		write[metricsAnnotation] = metrics
	}
	if len(current) > 0 {
		write[currentAnnotation] = current
	}
	if len(h.Status.Conditions) > 0 {
		write[conditionsAnnotation] = h.Status.Conditions
	}
	if h.Spec.Behavior != nil {
		write[behaviorAnnotation] = h.Spec.Behavior
	}
	if len(write) == 0 {
		return out, nil
	}
	out.Annotations = maps.Clone(out.Annotations)
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	for key, value := range write {
		b, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("write annotation %s: %w", key, err)
		}
		out.Annotations[key] = string(b)
	}
	return out, nil
}

// utilizationOfCPU is the one target that v1 has a field for.
func utilizationOfCPU(m *autoscalingv2.MetricSpec) *int32 {
	if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU {
		return nil
	}
	return m.Resource.Target.AverageUtilization
}

// read1 is what upstream's v1 says of an autoscaler.
func read1(h *autoscalingv1.HorizontalPodAutoscaler) *hpa {
	out := &hpa{
		TypeMeta:   h.TypeMeta,
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas,
			MaxReplicas:    h.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration,
			LastScaleTime:      h.Status.LastScaleTime,
			CurrentReplicas:    h.Status.CurrentReplicas,
			DesiredReplicas:    h.Status.DesiredReplicas,
		},
	}
	var metrics []autoscalingv1.MetricSpec
	var current []autoscalingv1.MetricStatus
	// What cannot be read is dropped, like any annotation that means nothing.
	for key, into := range map[string]any{
		metricsAnnotation: &metrics, currentAnnotation: &current,
		conditionsAnnotation: &out.Status.Conditions, behaviorAnnotation: &out.Spec.Behavior,
	} {
		if note, ok := h.Annotations[key]; ok {
			_ = json.Unmarshal([]byte(note), into)
		}
	}
	if cpu := h.Spec.TargetCPUUtilizationPercentage; cpu != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuMetric(*cpu))
	}
	for i := range metrics {
		out.Spec.Metrics = append(out.Spec.Metrics, metricFrom1(&metrics[i]))
	}
	for i := range current {
		out.Status.CurrentMetrics = append(out.Status.CurrentMetrics, statusFrom1(&current[i]))
	}
	if cpu := h.Status.CurrentCPUUtilizationPercentage; cpu != nil && len(current) == 0 {
		out.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: cpu},
			},
		}}
	}
	out.Annotations = maps.Clone(out.Annotations)
	dropNotes(out)
	return out
}

// dropNotes removes the annotations of v1, which mean nothing here and would
// come back as metrics.
func dropNotes(h *hpa) {
	for _, key := range notes {
		delete(h.Annotations, key)
	}
}

func metricTo1(m *autoscalingv2.MetricSpec) autoscalingv1.MetricSpec {
	out := autoscalingv1.MetricSpec{Type: autoscalingv1.MetricSourceType(m.Type)}
	if s := m.Object; s != nil {
		out.Object = &autoscalingv1.ObjectMetricSource{
			Target:     autoscalingv1.CrossVersionObjectReference(s.DescribedObject),
			MetricName: s.Metric.Name, Selector: s.Metric.Selector,
			TargetValue: ptr.Deref(s.Target.Value, apiresource.Quantity{}), AverageValue: s.Target.AverageValue,
		}
	}
	if s := m.Pods; s != nil {
		out.Pods = &autoscalingv1.PodsMetricSource{
			MetricName: s.Metric.Name, Selector: s.Metric.Selector,
			TargetAverageValue: ptr.Deref(s.Target.AverageValue, apiresource.Quantity{}),
		}
	}
	if s := m.Resource; s != nil {
		out.Resource = &autoscalingv1.ResourceMetricSource{
			Name: s.Name, TargetAverageUtilization: s.Target.AverageUtilization, TargetAverageValue: s.Target.AverageValue,
		}
	}
	if s := m.ContainerResource; s != nil {
		out.ContainerResource = &autoscalingv1.ContainerResourceMetricSource{
			Name: s.Name, Container: s.Container,
			TargetAverageUtilization: s.Target.AverageUtilization, TargetAverageValue: s.Target.AverageValue,
		}
	}
	if s := m.External; s != nil {
		out.External = &autoscalingv1.ExternalMetricSource{
			MetricName: s.Metric.Name, MetricSelector: s.Metric.Selector,
			TargetValue: s.Target.Value, TargetAverageValue: s.Target.AverageValue,
		}
	}
	return out
}

func metricFrom1(m *autoscalingv1.MetricSpec) autoscalingv2.MetricSpec {
	out := autoscalingv2.MetricSpec{Type: autoscalingv2.MetricSourceType(m.Type)}
	if s := m.Object; s != nil {
		target := autoscalingv2.MetricTarget{AverageValue: s.AverageValue}
		if !s.TargetValue.IsZero() {
			target.Value = &s.TargetValue
		}
		out.Object = &autoscalingv2.ObjectMetricSource{
			DescribedObject: autoscalingv2.CrossVersionObjectReference(s.Target),
			Metric:          autoscalingv2.MetricIdentifier{Name: s.MetricName, Selector: s.Selector},
			Target:          typed(target),
		}
	}
	if s := m.Pods; s != nil {
		out.Pods = &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: s.MetricName, Selector: s.Selector},
			Target: typed(autoscalingv2.MetricTarget{AverageValue: &s.TargetAverageValue}),
		}
	}
	if s := m.Resource; s != nil {
		out.Resource = &autoscalingv2.ResourceMetricSource{
			Name:   s.Name,
			Target: typed(autoscalingv2.MetricTarget{AverageUtilization: s.TargetAverageUtilization, AverageValue: s.TargetAverageValue}),
		}
	}
	if s := m.ContainerResource; s != nil {
		out.ContainerResource = &autoscalingv2.ContainerResourceMetricSource{
			Name: s.Name, Container: s.Container,
			Target: typed(autoscalingv2.MetricTarget{AverageUtilization: s.TargetAverageUtilization, AverageValue: s.TargetAverageValue}),
		}
	}
	if s := m.External; s != nil {
		out.External = &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: s.MetricName, Selector: s.MetricSelector},
			Target: typed(autoscalingv2.MetricTarget{Value: s.TargetValue, AverageValue: s.TargetAverageValue}),
		}
	}
	return out
}

// typed sets the type of a target, which v1 leaves to be seen from what is
// given.
func typed(t autoscalingv2.MetricTarget) autoscalingv2.MetricTarget {
	switch {
	case t.AverageUtilization != nil:
		t.Type = autoscalingv2.UtilizationMetricType
	case t.AverageValue != nil:
		t.Type = autoscalingv2.AverageValueMetricType
	default:
		t.Type = autoscalingv2.ValueMetricType
	}
	return t
}

func statusTo1(m *autoscalingv2.MetricStatus) autoscalingv1.MetricStatus {
	out := autoscalingv1.MetricStatus{Type: autoscalingv1.MetricSourceType(m.Type)}
	value := func(q *apiresource.Quantity) apiresource.Quantity { return ptr.Deref(q, apiresource.Quantity{}) }
	if s := m.Object; s != nil {
		out.Object = &autoscalingv1.ObjectMetricStatus{
			Target:     autoscalingv1.CrossVersionObjectReference(s.DescribedObject),
			MetricName: s.Metric.Name, Selector: s.Metric.Selector,
			CurrentValue: value(s.Current.Value), AverageValue: s.Current.AverageValue,
		}
	}
	if s := m.Pods; s != nil {
		out.Pods = &autoscalingv1.PodsMetricStatus{
			MetricName: s.Metric.Name, Selector: s.Metric.Selector, CurrentAverageValue: value(s.Current.AverageValue),
		}
	}
	if s := m.Resource; s != nil {
		out.Resource = &autoscalingv1.ResourceMetricStatus{
			Name: s.Name, CurrentAverageUtilization: s.Current.AverageUtilization, CurrentAverageValue: value(s.Current.AverageValue),
		}
	}
	if s := m.ContainerResource; s != nil {
		out.ContainerResource = &autoscalingv1.ContainerResourceMetricStatus{
			Name: s.Name, Container: s.Container,
			CurrentAverageUtilization: s.Current.AverageUtilization, CurrentAverageValue: value(s.Current.AverageValue),
		}
	}
	if s := m.External; s != nil {
		out.External = &autoscalingv1.ExternalMetricStatus{
			MetricName: s.Metric.Name, MetricSelector: s.Metric.Selector,
			CurrentValue: value(s.Current.Value), CurrentAverageValue: s.Current.AverageValue,
		}
	}
	return out
}

func statusFrom1(m *autoscalingv1.MetricStatus) autoscalingv2.MetricStatus {
	out := autoscalingv2.MetricStatus{Type: autoscalingv2.MetricSourceType(m.Type)}
	value := func(q *apiresource.Quantity) *apiresource.Quantity {
		if q.IsZero() {
			return nil
		}
		return q
	}
	if s := m.Object; s != nil {
		out.Object = &autoscalingv2.ObjectMetricStatus{
			DescribedObject: autoscalingv2.CrossVersionObjectReference(s.Target),
			Metric:          autoscalingv2.MetricIdentifier{Name: s.MetricName, Selector: s.Selector},
			Current:         autoscalingv2.MetricValueStatus{Value: value(&s.CurrentValue), AverageValue: s.AverageValue},
		}
	}
	if s := m.Pods; s != nil {
		out.Pods = &autoscalingv2.PodsMetricStatus{
			Metric:  autoscalingv2.MetricIdentifier{Name: s.MetricName, Selector: s.Selector},
			Current: autoscalingv2.MetricValueStatus{AverageValue: value(&s.CurrentAverageValue)},
		}
	}
	if s := m.Resource; s != nil {
		out.Resource = &autoscalingv2.ResourceMetricStatus{
			Name:    s.Name,
			Current: autoscalingv2.MetricValueStatus{AverageUtilization: s.CurrentAverageUtilization, AverageValue: value(&s.CurrentAverageValue)},
		}
	}
	if s := m.ContainerResource; s != nil {
		out.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{
			Name: s.Name, Container: s.Container,
			Current: autoscalingv2.MetricValueStatus{AverageUtilization: s.CurrentAverageUtilization, AverageValue: value(&s.CurrentAverageValue)},
		}
	}
	if s := m.External; s != nil {
		out.External = &autoscalingv2.ExternalMetricStatus{
			Metric:  autoscalingv2.MetricIdentifier{Name: s.MetricName, Selector: s.MetricSelector},
			Current: autoscalingv2.MetricValueStatus{Value: value(&s.CurrentValue), AverageValue: s.CurrentAverageValue},
		}
	}
	return out
}
