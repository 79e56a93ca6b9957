package coordination

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"

	rt "proa/resource/resourcetest"
)

func TestLease(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: leader}, spec: {holderIdentity: a, leaseDurationSeconds: 15, leaseTransitions: 0}}`
	rt.Verdicts(t, Lease(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "empty", Patch: `spec: null`},
		rt.Verdict{Name: "numbers", Patch: `spec: {leaseDurationSeconds: 0, leaseTransitions: -1}`, Want: []string{
			"spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
			"spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
		}},
		rt.Verdict{Name: "coordination is off", Patch: `spec: {preferredHolder: b, strategy: "x y"}`},
	)
	rt.Columns(t, Lease(), "Name", "Holder", "Age")
	rt.Cells(t, Lease(), base, "leader", "a", "60m")
	rt.Cells(t, Lease(), `metadata: {name: x}`, "x", "", "60m")
	if !Lease().RequireResourceVersion {
		t.Error("leases can be overwritten unseen")
	}
	if o := rt.Object(t, Lease(), base, `spec: {strategy: OldestEmulationVersion}`); o.(*coordinationv1.Lease).Spec.Strategy != nil {
		t.Error("the strategy is stored")
	}
}
