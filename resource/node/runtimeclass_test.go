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
		rt.Verdict{Name: "no handler", Patch: `handler: ""`, Want: []string{"handler: Required value"}},
		rt.Verdict{Name: "negative overhead", Patch: `overhead: {podFixed: {memory: "-1"}}`, Want: []string{
			`overhead.limits[memory]: Invalid value: "-1": must be greater than or equal to 0`,
		}},
		rt.Verdict{Name: "compared", Patch: `scheduling: {tolerations: [{key: a, operator: Lt, value: "1"}]}`, Want: []string{
			`scheduling.tolerations[0].operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"`,
		}},
		rt.Verdict{Name: "tolerations", Patch: `scheduling: {tolerations: [{key: a, operator: Exists}, {key: a, operator: Exists}]}`, Want: []string{
			`scheduling.tolerations[1]: Duplicate value: {"Key":"a","Operator":"Exists","Value":"","Effect":"","TolerationSeconds":null}`,
		}},
	)
	rt.UpdateVerdicts(t, RuntimeClass(), base, rt.Verdict{Name: "handler", Patch: `handler: kata`, Want: []string{
		`handler: Invalid value: "kata": field is immutable`,
	}})
	rt.UpdateVerdicts(t, RuntimeClass(), base, rt.Verdict{Name: "selector", Patch: `scheduling: {nodeSelector: {a: "-"}}`, Want: []string{
		`scheduling.nodeSelector: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
	}})
	rt.Columns(t, RuntimeClass(), "Name", "Handler", "Age")
	rt.Cells(t, RuntimeClass(), base, "gvisor", "runsc", "60m")
}
