package devices

import (
	"strings"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"

	rt "proa/resource/resourcetest"
)

func TestDeviceClass(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: gpu}, spec: {selectors: [{cel: {expression: 'device.driver == "a"'}}]}}`
	long := strings.Repeat("x", resourcev1.OpaqueParametersMaxLength)
	rt.Verdicts(t, DeviceClass(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "several in one", Patch: `spec: {extendedResourceName: example.com/gpu, config: [{opaque: {driver: a.com, parameters: {a: b}}}]}`},
		rt.Verdict{Name: "long", Patch: `spec: {selectors: [{cel: {expression: ` + long + `y}}]}`, Want: []string{
			"spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes",
		}},
		rt.Verdict{Name: "parameters", Patch: `spec: {config: [{opaque: {driver: a.com, parameters: {a: ` + long + `}}}, {opaque: {driver: "", parameters: null}}]}`, Want: []string{
			"spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes",
			"spec.config[1].opaque.driver: Required value",
			"spec.config[1].opaque.parameters: Required value",
		}},
		rt.Verdict{Name: "many", Patch: `spec: {selectors: [` + strings.Repeat(`{cel: {expression: "true"}},`, 33) + `]}`, Want: []string{
			"spec.selectors: Too many: 33: must have at most 32 items",
		}},
	)
	rt.UpdateVerdicts(t, DeviceClass(), base,
		rt.Verdict{Name: "other condition", Patch: `spec: {selectors: [{cel: {expression: "true"}}]}`},
		rt.Verdict{Name: "no condition", Patch: `spec: {selectors: [{}]}`, Want: []string{"spec.selectors[0].cel: Required value"}},
	)
	rt.Columns(t, DeviceClass(), "Name", "Age")
	rt.Cells(t, DeviceClass(), base, "gpu", "60m")
}

func TestResourceClaim(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: c}
spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu}}, {name: b, firstAvailable: [{name: x, deviceClassName: gpu}]}]}}
`
	rt.Verdicts(t, ResourceClaim(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "both", Patch: `spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu}, firstAvailable: [{name: x, deviceClassName: gpu}]}]}}`, Want: []string{
			"spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
		}},
		rt.Verdict{Name: "mode", Patch: `spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu, allocationMode: Some}}]}}`, Want: []string{
			`spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"`,
		}},
		rt.Verdict{Name: "tolerations", Patch: `spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu, tolerations: [{}, {operator: Some}]}}]}}`, Want: []string{
			`spec.devices.requests[0].exactly.tolerations[1].operator: Unsupported value: "Some": supported values: "Equal", "Exists"`,
		}},
		rt.Verdict{Name: "references", Patch: `spec: {devices: {constraints: [{requests: [a/x, b/x, b/y, a/b/c, b], distinctAttribute: a.com/b}]}}`, Want: []string{
			`spec.devices.constraints[0].requests[0]: Invalid value: "a/x": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
			`spec.devices.constraints[0].requests[2]: Invalid value: "b/y": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
			`spec.devices.constraints[0].requests[3]: Invalid value: "a/b/c": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
		}},
	)
	const allocated = base + `
status:
  allocation: {devices: {results: [{request: a, driver: d.com, pool: p, device: x}, {request: b/x, driver: d.com, pool: p, device: y}]}}
  devices: [{driver: d.com, pool: p, device: x}]
  reservedFor: [{resource: pods, name: p, uid: "1"}]
`
	rt.SubresourceVerdicts(t, ResourceClaim(), "status", allocated,
		rt.Verdict{Name: "same"},
		rt.Verdict{Name: "taken back", Patch: `status: {allocation: null, reservedFor: null}`},
		rt.Verdict{Name: "taken back in use", Patch: `status: {allocation: null}`, Want: []string{
			"status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
		}},
		rt.Verdict{Name: "other user", Patch: `status: {reservedFor: [{resource: pods, name: p, uid: "1"}, {name: q, uid: "1"}]}`, Want: []string{
			"status.reservedFor[1].resource: Required value",
			`status.reservedFor[1]: Duplicate value: "1"`,
		}},
	)
	rt.SubresourceVerdicts(t, ResourceClaim(), "status", strings.Replace(allocated, "{name: c}", `{name: c, deletionTimestamp: "2026-01-01T00:00:00Z"}`, 1),
		rt.Verdict{Name: "joined at the end", Patch: `status: {reservedFor: [{resource: pods, name: q, uid: "2"}]}`, Want: []string{
			"status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
		}})
	rt.Columns(t, ResourceClaim(), "Name", "State", "Age")
	rt.Cells(t, ResourceClaim(), base, "c", "pending", "60m")
	rt.Cells(t, ResourceClaim(), allocated, "c", "allocated,reserved", "60m")
	rt.Cells(t, ResourceClaim(), strings.Replace(base, "{name: c}", `{name: c, deletionTimestamp: "2026-01-01T00:00:00Z"}`, 1), "c", "deleted", "60m")
}

// What a driver said of a device goes with the device.
func TestReportsGoWithTheirDevices(t *testing.T) {
	t.Parallel()
	old := rt.Object(t, ResourceClaim(), `{metadata: {name: c}}`, "").(*resourcev1.ResourceClaim)
	old.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{{Driver: "d", Pool: "p", Device: "x"}}}}
	old.Status.Devices = []resourcev1.AllocatedDeviceStatus{{Driver: "d", Pool: "p", Device: "x"}}
	c := old.DeepCopy()
	c.Status.Allocation = nil
	ResourceClaim().Updates["status"].PrepareUpdate(nil, c, old)
	if c.Status.Devices != nil {
		t.Errorf("left: %+v", c.Status.Devices)
	}
}

func TestResourceClaimTemplate(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: t}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu}}]}}}}`
	rt.Verdicts(t, ResourceClaimTemplate(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "metadata", Patch: `spec: {metadata: {generateName: x, labels: {"a b": c}}}`, Want: []string{
			`spec.metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
			"spec.metadata.generateName: Forbidden: cannot be set",
		}},
	)
	rt.Columns(t, ResourceClaimTemplate(), "Name", "Age")
	rt.Cells(t, ResourceClaimTemplate(), base, "t", "60m")
}

func TestResourceSlice(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: s}
spec:
  driver: d.com
  allNodes: true
  pool: {name: p, resourceSliceCount: 1}
  devices: [{name: x, allowMultipleAllocations: true, capacity: {memory: {value: 10Gi}}}]
`
	device := func(d string) string { return `spec: {devices: [` + d + `]}` }
	policy := func(p string) string {
		return device(`{name: x, allowMultipleAllocations: true, capacity: {memory: {value: 10, requestPolicy: ` + p + `}}}`)
	}
	const at = "spec.devices[0].capacity[memory].requestPolicy."
	rt.Verdicts(t, ResourceSlice(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "nowhere", Patch: `spec: {allNodes: null}`, Want: []string{
			"spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
		}},
		rt.Verdict{Name: "terms", Patch: `spec: {allNodes: null, nodeSelector: {nodeSelectorTerms: [{}, {}]}}`, Want: []string{
			`spec.nodeSelector.nodeSelectorTerms: Invalid value: [{"MatchExpressions":null,"MatchFields":null},{"MatchExpressions":null,"MatchFields":null}]: must have exactly one node selector term`,
		}},
		rt.Verdict{Name: "counters beside devices", Patch: `spec: {sharedCounters: [{name: c, counters: {a: {value: 1}}}]}`, Want: []string{
			`spec: Invalid value: "": only one of ` + "`sharedCounters` or `devices` is allowed",
		}},
		rt.Verdict{Name: "lists are off", Patch: device(`{name: x, attributes: {a: {ints: [1]}}}`), Want: []string{
			`spec.devices[0].attributes[a]: Invalid value: "": exactly one value must be specified`,
		}},
		rt.Verdict{Name: "names", Patch: device(`{name: x, attributes: {"/a": {int: 1}, "a.com/": {int: 1}, "a.com/b": {int: 1}, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: {int: 1}}}`), Want: []string{
			`spec.devices[0].attributes: Invalid value: "": the domain must not be empty`,
			`spec.devices[0].attributes: Invalid value: "": the name must not be empty`,
			`spec.devices[0].attributes: Too long: may not be more than 32 bytes`,
		}},
		rt.Verdict{Name: "values", Patch: policy(`{default: 3, validValues: [2, 1, 20]}`), Want: []string{
			at + `validValues[1]: Invalid value: "1": values must be sorted in ascending order`,
			at + `validValues[2]: Invalid value: "20": option is larger than capacity value: 10`,
			at + `validValues: Invalid value: "3": default value is not valid according to the requestPolicy`,
		}},
		rt.Verdict{Name: "both policies", Patch: policy(`{default: 1, validValues: [1], validRange: {min: 1}}`), Want: []string{
			`spec.devices[0].capacity[memory].requestPolicy: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time`,
		}},
		rt.Verdict{Name: "no default", Patch: policy(`{validRange: {min: 1}}`), Want: []string{
			at + "default: Required value: required when validRange is defined",
		}},
		rt.Verdict{Name: "range", Patch: policy(`{default: 4, validRange: {min: 1, max: 9, step: 2}}`), Want: []string{
			at + `validRange.step: Invalid value: "4": value is not a multiple of a given step (2) from (1)`,
		}},
		rt.Verdict{Name: "no step", Patch: policy(`{default: 4, validRange: {min: 4, max: 4, step: 0}}`)},
		rt.Verdict{Name: "reach of each", Patch: `spec: {allNodes: null, perDeviceNodeSelection: true, devices: [{name: x}, {name: z, nodeName: a, allNodes: true}]}`, Want: []string{
			"spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
			"spec.devices[1]: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
		}},
		rt.Verdict{Name: "conditions", Patch: device(`{name: x, bindingConditions: [a, a], bindingFailureConditions: [a]}`), Want: []string{
			`spec.devices[0].bindingConditions[1]: Duplicate value: "a"`,
			`spec.devices[0].bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap with bindingConditions`,
		}},
	)
	rt.UpdateVerdicts(t, ResourceSlice(), base,
		rt.Verdict{Name: "moved", Patch: `spec: {driver: e.com, pool: {name: q}}`, Want: []string{
			`spec.pool.name: Invalid value: "q": field is immutable`,
			`spec.driver: Invalid value: "e.com": field is immutable`,
		}})
	rt.Columns(t, ResourceSlice(), "Name", "Node", "Driver", "Pool", "Age")
	rt.Cells(t, ResourceSlice(), base, "s", "", "d.com", "p", "60m")
}

// A taint tells when it came, and keeps that time.
func TestTaintsHaveATime(t *testing.T) {
	t.Parallel()
	d := ResourceSlice()
	s := rt.Object(t, d, `{metadata: {name: s}, spec: {driver: d.com, allNodes: true, pool: {name: p, resourceSliceCount: 1}, devices: [{name: x, taints: [{key: k, effect: NoSchedule}]}]}}`, "").(*resourcev1.ResourceSlice)
	at := s.Spec.Devices[0].Taints[0].TimeAdded
	if at == nil || !at.Time.Equal(rt.Now()) {
		t.Errorf("a new taint came at %v", at)
	}
}
