package autoscaling

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"proa/resource/check"
	rt "proa/resource/resourcetest"
)

const base = `
metadata: {name: web}
spec: {scaleTargetRef: {kind: Deployment, name: web, apiVersion: apps/v1}, maxReplicas: 10}
`

func TestHorizontalPodAutoscaler(t *testing.T) {
	t.Parallel()
	d := HorizontalPodAutoscaler()
	rt.Verdicts(t, d, base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "numbers", Patch: `spec: {minReplicas: 0, maxReplicas: -1}`, Want: []string{
			"spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
			"spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1",
			"spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
			"spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
		}},
		rt.Verdict{Name: "target", Patch: `spec: {scaleTargetRef: {kind: "", name: a/b, apiVersion: a/b/c}}`, Want: []string{
			"spec.scaleTargetRef.kind: Required value",
			`spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/'`,
			`spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c`,
		}},
		rt.Verdict{Name: "no maximum", Patch: `spec: {maxReplicas: 0, minReplicas: null}`, Want: []string{
			"spec.maxReplicas: Required value: must be set and greater than 0",
			"spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
		}},
		rt.Verdict{Name: "no group", Patch: `spec: {scaleTargetRef: {apiVersion: v1}}`, Want: []string{
			`spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group`,
		}},
		rt.Verdict{Name: "replication controller", Patch: `spec: {scaleTargetRef: {apiVersion: v1, kind: ReplicationController}}`},
		rt.Verdict{Name: "container", Patch: `spec: {metrics: [{type: ContainerResource, containerResource: {name: luck, container: A, target: {type: Utilization, averageUtilization: 50}}}]}`, Want: []string{
			`spec.metrics[0].containerResource.name: Invalid value: "luck": must be a standard resource type or fully qualified`,
			`spec.metrics[0].containerResource.name: Invalid value: "luck": must be a standard resource for containers`,
			`spec.metrics[0].containerResource.container: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
		}},
		rt.Verdict{Name: "described object", Patch: `spec: {metrics: [{type: Object, object: {describedObject: {kind: Service, name: a, apiVersion: v1}, metric: {name: x}, target: {type: Value, value: "1"}}}]}`},
		rt.Verdict{Name: "negative pods", Patch: `spec: {metrics: [{type: Pods, pods: {metric: {name: x}, target: {type: AverageValue, averageValue: "-1"}}}]}`, Want: []string{
			`spec.metrics[0].pods.target.averageValue: Invalid value: "-1": must be positive`,
		}},
		rt.Verdict{Name: "empty metric", Patch: `spec: {metrics: [{type: Resource}]}`, Want: []string{
			"spec.metrics[0].resource: Required value: must populate information for the given metric source",
		}},
		rt.Verdict{Name: "unknown metric", Patch: `spec: {metrics: [{type: Luck}]}`, Want: []string{
			`spec.metrics[0].type: Unsupported value: "Luck": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"`,
		}},
		rt.Verdict{Name: "two targets", Patch: `spec: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50, averageValue: 100m}}}]}`, Want: []string{
			"spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
		}},
		rt.Verdict{Name: "two sources", Patch: `spec: {metrics: [{type: Pods, pods: {metric: {name: x}, target: {type: AverageValue, averageValue: "1"}}, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}`, Want: []string{
			"spec.metrics[0].resource: Forbidden: must populate the given metric source only",
		}},
		rt.Verdict{Name: "behavior", Patch: `spec: {behavior: {scaleDown: {stabilizationWindowSeconds: 3601, selectPolicy: Any, policies: [{type: Percent, value: 0, periodSeconds: 1801}]}}}`, Want: []string{
			"spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
			`spec.behavior.scaleDown.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"`,
			"spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
			"spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
		}},
	)
	const groupless = `
metadata: {name: web}
spec: {scaleTargetRef: {kind: Deployment, name: web, apiVersion: v1}, maxReplicas: 10}
`
	rt.UpdateVerdicts(t, d, groupless,
		rt.Verdict{Name: "kept version", Patch: `spec: {maxReplicas: 5}`},
		rt.Verdict{Name: "kept version of another kind", Patch: `spec: {scaleTargetRef: {kind: Other}}`, Want: []string{
			`spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group`,
		}},
	)
	rt.Columns(t, d, "Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age")
	rt.Cells(t, d, base, "web", "Deployment/web", "<none>", "<unset>", int64(10), int64(0), "60m")
	rt.Cells(t, d, `
metadata: {name: web}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 10
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  - {type: External, external: {metric: {name: q}, target: {type: AverageValue, averageValue: "30"}}}
  - {type: Pods, pods: {metric: {name: q}, target: {type: AverageValue, averageValue: "30"}}}
status: {currentReplicas: 3, desiredReplicas: 3, currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 7}}}]}
`, "web", "Deployment/web", "cpu: 7%/50%, <unknown>/30 (avg) + 1 more...", "2", int64(10), int64(3), "60m")
}

func TestVersion1(t *testing.T) {
	t.Parallel()
	d := HorizontalPodAutoscaler()
	h := rt.Object(t, d, base, `
metadata: {annotations: {own: note}}
spec:
  behavior: {}
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}
`).(*autoscalingv2.HorizontalPodAutoscaler)
	o, err := toVersion1(h)
	if err != nil {
		t.Fatal(err)
	}
	v1 := o.(*autoscalingv1.HorizontalPodAutoscaler)
	if cpu := v1.Spec.TargetCPUUtilizationPercentage; cpu == nil || *cpu != 50 {
		t.Errorf("the target is %v", cpu)
	}
	want := `[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]`
	if got := v1.Annotations[metricsAnnotation]; got != want {
		t.Errorf("other metrics are %s", got)
	}
	if !strings.Contains(v1.Annotations[behaviorAnnotation], `"periodSeconds":15`) || v1.Annotations["own"] != "note" {
		t.Errorf("annotations are %v", v1.Annotations)
	}
	if len(h.Annotations) != 1 {
		t.Error("the stored object has got the annotations")
	}
	back, err := fromVersion1(v1)
	if err != nil || !check.Equal(back, h) {
		t.Errorf("it came back as %+v (%v)", back, err)
	}

	// A client of v1 changes what it sees; the rest stays.
	v1.Spec.TargetCPUUtilizationPercentage = new(int32(70))
	back, err = fromVersion1(v1)
	if err != nil {
		t.Fatal(err)
	}
	if n := *back.Spec.Metrics[0].Resource.Target.AverageUtilization; n != 70 || len(back.Spec.Metrics) != 2 {
		t.Errorf("the metrics are %+v", back.Spec.Metrics)
	}
	v1.Annotations[metricsAnnotation] = "{"
	if back, err = fromVersion1(v1); err != nil || len(back.Spec.Metrics) != 1 {
		t.Errorf("with a broken annotation: %+v (%v)", back.Spec.Metrics, err)
	}
}
