package node

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func TestRuntimeClass(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: gvisor}, handler: runsc}`
	rt.Verdicts(t, RuntimeClass(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "overhead", Patch: `overhead: {podFixed: {memory: 64Mi}}`},
		rt.Verdict{Name: "tolerations", Patch: `scheduling: {tolerations: [{key: a, operator: Exists}, {key: a, operator: Exists}]}`, Want: []string{
			`scheduling.tolerations[1]: Duplicate value: {"Key":"a","Operator":"Exists","Value":"","Effect":"","TolerationSeconds":null}`,
		}},
	)
	rt.UpdateVerdicts(t, RuntimeClass(), base, rt.Verdict{Name: "handler", Patch: `handler: kata`, Want: []string{
		`handler: Invalid value: "kata": field is immutable`,
	}})
	rt.Columns(t, RuntimeClass(), "Name", "Handler", "Age")
	rt.Cells(t, RuntimeClass(), base, "gvisor", "runsc", "60m")
}
