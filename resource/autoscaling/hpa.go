package autoscaling

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

type hpa = autoscalingv2.HorizontalPodAutoscaler

// HorizontalPodAutoscaler is the row of horizontal pod autoscalers.
func HorizontalPodAutoscaler() *resource.Definition {
	spec, status := autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc(), autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()
	return resource.Row[*hpa]{
		Storage:      autoscalingv2.SchemeGroupVersion,
		Kind:         "HorizontalPodAutoscaler",
		Plural:       "horizontalpodautoscalers",
		ShortNames:   []string{"hpa"},
		Categories:   []string{"all"},
		New:          func() *hpa { return new(hpa) },
		NewList:      func() runtime.Object { return new(autoscalingv2.HorizontalPodAutoscalerList) },
		Also:         []resource.Version[*hpa]{version1()},
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultHPA,
		PrepareCreate: func(_ *resource.Request, h *hpa) {
			h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
		},
		PrepareUpdate: func(_ *resource.Request, h, old *hpa) {
			h.Status = *old.Status.DeepCopy()
		},
		Validate:       func(h *hpa) field.ErrorList { return validateHPA(h, nil) },
		ValidateUpdate: validateHPA,
		Updates: map[string]resource.Update[*hpa]{
			"status": {
				PrepareUpdate: func(_ *resource.Request, h, old *hpa) {
					h.Spec = *old.Spec.DeepCopy()
				},
				ValidateUpdate: func(h, _ *hpa) field.ErrorList {
					at := field.NewPath("status")
					errs := check.NonNegative(int64(h.Status.CurrentReplicas), at.Child("currentReplicas"))
					return append(errs, check.NonNegative(int64(h.Status.DesiredReplicas), at.Child("desiredReplicas"))...)
				},
			},
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Reference", spec["scaleTargetRef"]),
			columns.String("Targets", spec["metrics"]),
			columns.String("MinPods", spec["minReplicas"]),
			columns.String("MaxPods", spec["maxReplicas"]),
			columns.String("Replicas", status["currentReplicas"]),
			columns.Age(),
		},
		Cells: func(h *hpa, now time.Time) []any {
			low := columns.Unset
			if n := h.Spec.MinReplicas; n != nil {
				low = strconv.Itoa(int(*n))
			}
			return []any{
				h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name,
				targetsCell(h.Spec.Metrics, h.Status.CurrentMetrics), low, int64(h.Spec.MaxReplicas),
				int64(h.Status.CurrentReplicas), columns.Since(h.CreationTimestamp, now),
			}
		},
	}.Define()
}

// defaultCPU is the utilization in percent that is aimed at where nothing is.
const defaultCPU = 80

func defaultHPA(h *hpa) {
	dropNotes(h)
	if h.Spec.MinReplicas == nil {
		h.Spec.MinReplicas = new(int32(1))
	}
	if len(h.Spec.Metrics) == 0 {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(defaultCPU)}
	}
	if b := h.Spec.Behavior; b != nil {
		b.ScaleUp = withDefaults(b.ScaleUp, &autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: new(int32(0)),
			SelectPolicy:               new(autoscalingv2.MaxChangePolicySelect),
			Policies: []autoscalingv2.HPAScalingPolicy{
				{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
				{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
			},
		})
		// How long to wait before scaling down is a setting of the controller
		// unless it stands here.
		b.ScaleDown = withDefaults(b.ScaleDown, &autoscalingv2.HPAScalingRules{
			SelectPolicy: new(autoscalingv2.MaxChangePolicySelect),
			Policies: []autoscalingv2.HPAScalingPolicy{
				{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
			},
		})
	}
}

func withDefaults(r, defaults *autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	if r == nil {
		return defaults
	}
	if r.SelectPolicy == nil {
		r.SelectPolicy = defaults.SelectPolicy
	}
	if r.StabilizationWindowSeconds == nil {
		r.StabilizationWindowSeconds = defaults.StabilizationWindowSeconds
	}
	if r.Policies == nil {
		r.Policies = defaults.Policies
	}
	return r
}

func cpuMetric(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		},
	}
}

// targetsCell shows of up to two metrics what is and what is aimed at.
func targetsCell(metrics []autoscalingv2.MetricSpec, current []autoscalingv2.MetricStatus) string {
	const shown = 2
	if len(metrics) == 0 {
		return columns.None
	}
	var list []string
	for i := range metrics[:min(len(metrics), shown)] {
		var is autoscalingv2.MetricStatus
		if i < len(current) {
			is = current[i]
		}
		list = append(list, targetCell(&metrics[i], &is))
	}
	s := strings.Join(list, ", ")
	if more := len(metrics) - shown; more > 0 {
		s += fmt.Sprintf(" + %d more...", more)
	}
	return s
}

func targetCell(m *autoscalingv2.MetricSpec, s *autoscalingv2.MetricStatus) string {
	var current autoscalingv2.MetricValueStatus
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		if s.External != nil {
			current = s.External.Current
		}
		return valueCell(&m.External.Target, &current)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		if s.Object != nil {
			current = s.Object.Current
		}
		return valueCell(&m.Object.Target, &current)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		if s.Pods != nil {
			current = s.Pods.Current
		}
		return quantityCell(current.AverageValue) + "/" + quantityCell(m.Pods.Target.AverageValue)
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		if s.Resource != nil {
			current = s.Resource.Current
		}
		return utilizationCell(string(m.Resource.Name), &m.Resource.Target, &current)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		if s.ContainerResource != nil {
			current = s.ContainerResource.Current
		}
		return utilizationCell(string(m.ContainerResource.Name), &m.ContainerResource.Target, &current)
	}
	return "<unknown type>"
}

func valueCell(t *autoscalingv2.MetricTarget, is *autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return quantityCell(is.AverageValue) + "/" + t.AverageValue.String() + " (avg)"
	}
	return quantityCell(is.Value) + "/" + quantityCell(t.Value)
}

func utilizationCell(name string, t *autoscalingv2.MetricTarget, is *autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return name + ": " + quantityCell(is.AverageValue) + "/" + t.AverageValue.String()
	}
	percent := func(n *int32, missing string) string {
		if n == nil {
			return missing
		}
		return fmt.Sprintf("%d%%", *n)
	}
	return name + ": " + percent(is.AverageUtilization, columns.Unknown) + "/" + percent(t.AverageUtilization, "<auto>")
}

func quantityCell(q *apiresource.Quantity) string {
	if q == nil {
		return columns.Unknown
	}
	return q.String()
}
