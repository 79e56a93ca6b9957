package admissionregistration

import (
	"testing"

	rt "proa/resource/resourcetest"
)

const validating = `{metadata: {name: a}, spec: {validations: [{expression: object.spec.replicas <= 5}],
  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}}}`

func TestValidatingAdmissionPolicy(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, ValidatingAdmissionPolicy(), validating,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "empty", Patch: `spec: {validations: null, matchConstraints: null}`, Want: []string{
			`spec.matchConstraints: Required value`,
			`spec.validations: Required value: validations or auditAnnotations must contain at least one item`,
			`spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item`,
		}},
		rt.Verdict{Name: "param kind", Patch: `spec: {paramKind: {apiVersion: a/b/c, kind: Config Map}}`, Want: []string{
			`spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c`,
			`spec.paramKind.kind: Invalid value: "Config Map": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
		}},
		rt.Verdict{Name: "validations", Patch: `spec: {validations: [{expression: "1", message: "a\nb", messageExpression: "2", reason: Gone}]}`, Want: []string{
			`spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int`,
			`spec.validations[0].messageExpression: Invalid value: "2": must evaluate to string but got int`,
			`spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks`,
			`spec.validations[0].reason: Unsupported value: "Gone": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"`,
		}},
		rt.Verdict{Name: "variables", Patch: `spec: {variables: [{name: in, expression: "1"}, {name: k, expression: "1"}, {name: m, expression: variables.k + 'a'}]}`, Want: []string{
			`spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier`,
			"spec.variables[2].expression: Invalid value: \"variables.k + 'a'\": compilation failed: ERROR: <input>:1:13: found no matching overload for '_+_' applied to '(int, string)'\n | variables.k + 'a'\n | ............^",
		}},
		rt.Verdict{Name: "a message may not ask the authorizer", Patch: `spec: {validations: [{expression: "true", messageExpression: "authorizer.group('').resource('pods').check('get').reason()"}]}`, Want: []string{
			"spec.validations[0].messageExpression: Invalid value: \"authorizer.group('').resource('pods').check('get').reason()\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'authorizer' (in container '')\n | authorizer.group('').resource('pods').check('get').reason()\n | ^",
		}},
		rt.Verdict{Name: "annotations", Patch: `spec: {auditAnnotations: [{key: a b, valueExpression: "'x'"}, {key: c, valueExpression: "1"}, {key: c, valueExpression: "null"}]}`, Want: []string{
			`spec.auditAnnotations[0].key: Invalid value: "a/a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
			`spec.auditAnnotations[1].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int`,
			`spec.auditAnnotations[2].key: Duplicate value: "c"`,
		}},
	)
	rt.SubresourceVerdicts(t, ValidatingAdmissionPolicy(), "status", validating,
		rt.Verdict{Name: "warnings", Patch: `status: {typeChecking: {expressionWarnings: [{fieldRef: "spec.validations[0].expression", warning: oh}, {fieldRef: "[", warning: ""}]}}`, Want: []string{
			`status.typeChecking.expressionWarnings[1].warning: Required value`,
			`status.typeChecking.expressionWarnings[1].fieldRef: Invalid value: "[": invalid JSONPath: unterminated array`,
		}})
	rt.Columns(t, ValidatingAdmissionPolicy(), "Name", "Validations", "ParamKind", "Age")
	rt.Cells(t, ValidatingAdmissionPolicy(), validating, "a", int64(1), "<unset>", "60m")
}

const mutating = `{metadata: {name: a}, spec: {paramKind: {apiVersion: v1, kind: ConfigMap}, reinvocationPolicy: Never,
  mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{spec: Object.spec{replicas: 1}}"}}],
  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}}}`

func TestMutatingAdmissionPolicy(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, MutatingAdmissionPolicy(), mutating,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "empty", Patch: `spec: {mutations: null, reinvocationPolicy: null}`, Want: []string{
			`spec.mutations: Required value: mutations must contain at least one item`,
			`spec.reinvocationPolicy: Required value`,
		}},
		rt.Verdict{Name: "what is deleted cannot be changed", Patch: `spec: {matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [DELETE], resources: [deployments]}]}}`, Want: []string{
			`spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"`,
		}},
		rt.Verdict{Name: "mutations", Patch: `spec: {mutations: [{}, {patchType: Other}, {patchType: JSONPatch, applyConfiguration: {expression: x}}, {patchType: JSONPatch, jsonPatch: {expression: "'a'"}}]}`, Want: []string{
			`spec.mutations[0].patchType: Required value`,
			`spec.mutations[1].patchType: Unsupported value: "Other": supported values: "ApplyConfiguration", "JSONPatch"`,
			`spec.mutations[2].jsonPatch: Required value: must be specified when patchType is JSONPatch`,
			`spec.mutations[2].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch`,
			`spec.mutations[3].jsonPatch.expression: Invalid value: "'a'": must evaluate to list(JSONPatch) but got string`,
		}},
	)
	rt.Columns(t, MutatingAdmissionPolicy(), "Name", "Mutations", "ParamKind", "Age")
	rt.Cells(t, MutatingAdmissionPolicy(), mutating, "a", int64(1), "v1/ConfigMap", "60m")
}

func TestBindings(t *testing.T) {
	t.Parallel()
	const binding = `{metadata: {name: b}, spec: {policyName: a, validationActions: [Deny]}}`
	rt.Verdicts(t, ValidatingAdmissionPolicyBinding(), binding,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "empty", Patch: `spec: {policyName: null, validationActions: null, paramRef: {}}`, Want: []string{
			`spec.policyName: Required value`,
			`spec.paramRef: Required value: one of name or selector must be specified`,
			`spec.paramRef.parameterNotFoundAction: Required value`,
			`spec.validationActions: Required value: at least one validation action is required`,
		}},
		rt.Verdict{Name: "actions", Patch: `spec: {validationActions: [Deny, Warn, Warn, Shout]}`, Want: []string{
			`spec.validationActions[2]: Duplicate value: "Warn"`,
			`spec.validationActions[3]: Unsupported value: "Shout": supported values: "Audit", "Deny", "Warn"`,
			`spec.validationActions: Invalid value: ["Deny","Warn","Warn","Shout"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)`,
		}},
		rt.Verdict{Name: "both ways to parameters", Patch: `spec: {paramRef: {name: a, selector: {}, parameterNotFoundAction: Deny}}`, Want: []string{
			`spec.paramRef.name: Forbidden: name and selector are mutually exclusive`,
			`spec.paramRef.selector: Forbidden: name and selector are mutually exclusive`,
		}},
	)
	rt.Columns(t, ValidatingAdmissionPolicyBinding(), "Name", "PolicyName", "ParamRef", "Age")
	rt.Cells(t, ValidatingAdmissionPolicyBinding(), `{metadata: {name: b}, spec: {policyName: a, paramRef: {name: p}}}`, "b", "a", "*/p", "60m")
	rt.Cells(t, MutatingAdmissionPolicyBinding(), `{metadata: {name: b}, spec: {policyName: a, paramRef: {name: p, namespace: ns}}}`, "b", "a", "ns/p", "60m")
}
