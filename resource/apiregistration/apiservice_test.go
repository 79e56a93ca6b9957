package apiregistration

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func TestAPIService(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: v1.example.com}
spec: {group: example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 10, service: {namespace: a, name: b}}
`
	rt.Verdicts(t, APIServiceRow(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "name", Patch: `metadata: {name: v2.example.com}`, Want: []string{
			"metadata.name: Invalid value: \"v2.example.com\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\"",
		}},
		rt.Verdict{Name: "no name at all", Patch: `metadata: {name: a/b}`}, // refused as such, for all kinds alike
		rt.Verdict{Name: "priorities", Patch: `spec: {groupPriorityMinimum: 20001, versionPriority: 0}`, Want: []string{
			"spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
			"spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
		}},
		rt.Verdict{Name: "local", Patch: `spec: {service: null, caBundle: YQ==, insecureSkipTLSVerify: true}`, Want: []string{
			`spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle`,
			"spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
		}},
		rt.Verdict{Name: "service", Patch: `spec: {service: {namespace: "", name: "", port: 70000}, caBundle: YQ==, insecureSkipTLSVerify: true}`, Want: []string{
			"spec.service.namespace: Required value", "spec.service.name: Required value",
			"spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
			"spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
		}},
		rt.Verdict{Name: "core", Patch: `{metadata: {name: v2.}, spec: {group: "", version: v2}}`, Want: []string{
			"spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
		}},
	)
	rt.SubresourceVerdicts(t, APIServiceRow(), "status", base,
		rt.Verdict{Name: "status", Patch: `{spec: {versionPriority: 0}, status: {conditions: [{type: Available, status: Maybe}]}}`, Want: []string{
			`status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown"`,
		}})
	rt.Columns(t, APIServiceRow(), "Name", "Service", "Available", "Age")
	rt.Cells(t, APIServiceRow(), base, "v1.example.com", "a/b", "Unknown", "60m")
	rt.Cells(t, APIServiceRow(), base+`status: {conditions: [{type: Available, status: "False", reason: MissingEndpoints}]}`, "v1.example.com", "a/b", "False (MissingEndpoints)", "60m")
	rt.Cells(t, APIServiceRow(), `{metadata: {name: v1.}, status: {conditions: [{type: Available, status: "True", reason: Local}]}}`, "v1.", "Local", "True", "60m")
	local := rt.Object(t, APIServiceRow(), base, `spec: {service: null}`).(*APIService)
	if c := local.Condition(Available); c == nil || c.Reason != "Local" {
		t.Errorf("what this server serves itself is %+v", c)
	}
	if again := local.DeepCopyObject().(*APIService); again.Condition(Available) == local.Condition(Available) {
		t.Error("a copy shares its conditions")
	}
}
