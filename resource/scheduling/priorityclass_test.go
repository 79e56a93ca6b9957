package scheduling

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func TestPriorityClass(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: high}, value: 1000}`
	rt.Verdicts(t, PriorityClass(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "too high", Patch: `value: 1000000001`, Want: []string{
			"value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
		}},
		rt.Verdict{Name: "policy", Patch: `preemptionPolicy: Sometimes`, Want: []string{
			`preemptionPolicy: Unsupported value: "Sometimes": supported values: "PreemptLowerPriority", "Never"`,
		}},
		rt.Verdict{Name: "system", Patch: `{metadata: {name: system-node-critical}, value: 2000001000}`},
		rt.Verdict{Name: "system, other value", Patch: `metadata: {name: system-node-critical}`, Want: []string{
			"metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000",
		}},
		rt.Verdict{Name: "unknown system", Patch: `metadata: {name: system-x}`, Want: []string{
			"metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
		}},
	)
	rt.UpdateVerdicts(t, PriorityClass(), base,
		rt.Verdict{Name: "description", Patch: `description: for the few`},
		rt.Verdict{Name: "content", Patch: `{value: 1, preemptionPolicy: Never}`, Want: []string{
			"value: Forbidden: may not be changed in an update.",
			`preemptionPolicy: Invalid value: "Never": field is immutable`,
		}},
	)
	rt.Columns(t, PriorityClass(), "Name", "Value", "Global-Default", "Age", "PreemptionPolicy")
	rt.Cells(t, PriorityClass(), `{metadata: {name: high}, value: 10, preemptionPolicy: Never}`, "high", int64(10), false, "60m", "Never")
}

func TestSystemClassesAreValid(t *testing.T) {
	t.Parallel()
	for _, c := range SystemClasses() {
		if why := PriorityClass().Keep(c); why != "this is a system priority class and cannot be deleted" {
			t.Errorf("%s: %q", c.Name, why)
		}
		PriorityClass().Default(c)
		if errs := PriorityClass().Validate(c); len(errs) > 0 {
			t.Error(errs)
		}
	}
}
