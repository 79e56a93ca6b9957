package admissionregistration

import (
	"testing"

	rt "proa/resource/resourcetest"
)

const hooks = `{metadata: {name: a}, webhooks: [{name: a.example.com, clientConfig: {service: {name: a, namespace: b}}, sideEffects: None, admissionReviewVersions: [v1],
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}]}`

func TestWebhookConfigurations(t *testing.T) {
	t.Parallel()
	cases := []rt.Verdict{
		{Name: "good"},
		{Name: "empty", Patch: `webhooks: [{}]`, Want: []string{
			`webhooks[0].name: Required value`,
			`webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun`,
			`webhooks[0].clientConfig: Required value: exactly one of url or service is required`,
			`webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1`,
		}},
		{Name: "values", Patch: `webhooks: [{name: a, failurePolicy: Panic, matchPolicy: Loose, sideEffects: Some, timeoutSeconds: 31, admissionReviewVersions: [v2, v2],
			clientConfig: {url: "http://u:p@h/p?q#f"}, rules: [{}]}]`, Want: []string{
			`webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots`,
			`webhooks[0].rules[0].operations: Required value`,
			`webhooks[0].rules[0].apiGroups: Required value`,
			`webhooks[0].rules[0].apiVersions: Required value`,
			`webhooks[0].rules[0].resources: Required value`,
			`webhooks[0].failurePolicy: Unsupported value: "Panic": supported values: "Fail", "Ignore"`,
			`webhooks[0].matchPolicy: Unsupported value: "Loose": supported values: "Equivalent", "Exact"`,
			`webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"`,
			`webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds`,
			`webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]`,
			`webhooks[0].clientConfig.url: Invalid value: "u:p": user information is not permitted in the URL`,
			`webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL`,
			`webhooks[0].clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL`,
			`webhooks[0].admissionReviewVersions[1]: Invalid value: "v2": duplicate version`,
			`webhooks[0].admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1`,
		}},
		{Name: "rules that say the same twice", Patch: `webhooks: [{name: a.example.com, clientConfig: {url: "https://h"}, sideEffects: None, admissionReviewVersions: [v1],
			rules: [{apiGroups: ["*", ""], apiVersions: ["*", v1], operations: ["*", CREATE], resources: ["*/*", "pods/*", pods/status, "*", pods]}]}]`, Want: []string{
			`webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations`,
			`webhooks[0].rules[0].apiGroups: Invalid value: ["*",""]: if '*' is present, must not specify other API groups`,
			`webhooks[0].rules[0].apiVersions: Invalid value: ["*","v1"]: if '*' is present, must not specify other API versions`,
			`webhooks[0].rules[0].resources[1]: Invalid value: "pods/*": if '*/*' is present, must not specify pods/*`,
			`webhooks[0].rules[0].resources[2]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status`,
			`webhooks[0].rules[0].resources: Invalid value: ["*/*","pods/*","pods/status","*","pods"]: if '*/*' is present, must not specify other resources`,
			`webhooks[0].rules[0].resources: Invalid value: ["*/*","pods/*","pods/status","*","pods"]: if '*' is present, must not specify other resources without subresources`,
		}},
		{Name: "conditions", Patch: `webhooks: [{name: a.example.com, clientConfig: {url: "https://h"}, sideEffects: None, admissionReviewVersions: [v1],
			matchConditions: [{name: a, expression: "1"}, {name: a, expression: params.x}, {expression: " "}]}]`, Want: []string{
			`webhooks[0].matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int`,
			"webhooks[0].matchConditions[1].expression: Invalid value: \"params.x\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x\n | ^",
			`webhooks[0].matchConditions[1].name: Duplicate value: "a"`,
			`webhooks[0].matchConditions[2].expression: Required value`,
			`webhooks[0].matchConditions[2].name: Required value`,
		}},
	}
	rt.Verdicts(t, ValidatingWebhookConfiguration(), hooks, cases...)
	rt.Verdicts(t, MutatingWebhookConfiguration(), hooks, append(cases,
		rt.Verdict{Name: "reinvocation", Patch: `webhooks: [{name: a.example.com, clientConfig: {url: "https://h"}, sideEffects: None, admissionReviewVersions: [v1], reinvocationPolicy: Often}]`, Want: []string{
			`webhooks[0].reinvocationPolicy: Unsupported value: "Often": supported values: "IfNeeded", "Never"`,
		}})...)
	rt.Columns(t, ValidatingWebhookConfiguration(), "Name", "Webhooks", "Age")
	rt.Cells(t, MutatingWebhookConfiguration(), hooks, "a", int64(1), "60m")
}

// TestStoredWebhooksStayWritable: what was accepted by an older release does
// not have to be mended before anything else of it can be changed.
func TestStoredWebhooksStayWritable(t *testing.T) {
	t.Parallel()
	const old = `{metadata: {name: a}, webhooks: [
	  {name: a.example.com, clientConfig: {url: "https://h"}, sideEffects: Unknown, admissionReviewVersions: [v0], objectSelector: {matchExpressions: [{key: a, operator: In, values: [b c]}]}, matchConditions: [{name: a, expression: gone()}]},
	  {name: a.example.com, clientConfig: {url: "https://h"}, sideEffects: Some, admissionReviewVersions: [v0]}]}`
	rt.UpdateVerdicts(t, ValidatingWebhookConfiguration(), old, rt.Verdict{Name: "label", Patch: `metadata: {labels: {a: b}}`})
	rt.UpdateVerdicts(t, MutatingWebhookConfiguration(), old, rt.Verdict{Name: "label", Patch: `metadata: {labels: {a: b}}`})
	rt.UpdateVerdicts(t, ValidatingWebhookConfiguration(), hooks, rt.Verdict{Name: "side effects", Patch: `webhooks: [{name: a.example.com, clientConfig: {url: "https://h"}, sideEffects: Some, admissionReviewVersions: [v1]}]`, Want: []string{
		`webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"`,
	}})
}
