package policy

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func TestPodDisruptionBudget(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: web}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}`
	rt.Verdicts(t, PodDisruptionBudget(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "name", Patch: `metadata: {name: Any_Name}`},
		rt.Verdict{Name: "limits", Patch: `spec: {minAvailable: -1}`, Want: []string{
			"spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
		}},
		rt.Verdict{Name: "percentages", Patch: `spec: {minAvailable: null, maxUnavailable: 101%}`, Want: []string{
			`spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
		}},
		rt.Verdict{Name: "no number", Patch: `spec: {minAvailable: many}`, Want: []string{
			`spec.minAvailable: Invalid value: "many": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`,
		}},
		rt.Verdict{Name: "policy", Patch: `spec: {unhealthyPodEvictionPolicy: Never}`, Want: []string{
			`spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"`,
		}},
		rt.Verdict{Name: "both", Patch: `spec: {maxUnavailable: 1}`, Want: []string{
			`spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"app":"web"}},"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set`,
		}},
	)
	rt.SubresourceVerdicts(t, PodDisruptionBudget(), "status", base,
		rt.Verdict{Name: "counts", Patch: `status: {currentHealthy: -1}`, Want: []string{
			"status.currentHealthy: Invalid value: -1: must be greater than or equal to 0",
		}})
	rt.Columns(t, PodDisruptionBudget(), "Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age")
	rt.Cells(t, PodDisruptionBudget(), `{metadata: {name: web}, spec: {maxUnavailable: 30%}, status: {disruptionsAllowed: 2, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0}}`,
		"web", "N/A", "30%", int64(2), "60m")
}
