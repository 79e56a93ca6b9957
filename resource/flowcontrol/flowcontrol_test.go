package flowcontrol

import (
	"testing"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"

	"proa/resource/check"
	rt "proa/resource/resourcetest"
)

// What the server makes is valid, and is not changed by defaulting.
func TestBootstrapObjects(t *testing.T) {
	t.Parallel()
	for _, l := range append(bootstrap.MandatoryPriorityLevelConfigurations, bootstrap.SuggestedPriorityLevelConfigurations...) {
		has := l.DeepCopy()
		defaultLevel(has)
		if errs := validateLevel(has); len(errs) > 0 || !check.Equal(has, l) {
			t.Errorf("%s: %v, %v", l.Name, has.Spec, errs)
		}
	}
	for _, s := range append(bootstrap.MandatoryFlowSchemas, bootstrap.SuggestedFlowSchemas...) {
		if errs := validateFlowSchema(s); len(errs) > 0 {
			t.Errorf("%s: %v", s.Name, errs)
		}
	}
}

func TestPriorityLevel(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: l}, spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 4, handSize: 2}}}}}`
	rt.Verdicts(t, PriorityLevelConfiguration(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "no shares", Patch: `spec: {limited: {nominalConcurrencyShares: 0}}`},
		rt.Verdict{Name: "old annotation", Patch: `metadata: {annotations: {flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares: ""}}`, Want: []string{
			"metadata.annotations: Forbidden: annotation 'flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares' is forbidden",
		}},
		rt.Verdict{Name: "exempt", Patch: `spec: {type: Exempt, limited: null, exempt: {lendablePercent: 200}}`, Want: []string{
			"spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
			"spec.exempt.lendablePercent: Invalid value: 200: must be between 0 and 100, inclusive",
		}},
		rt.Verdict{Name: "queues", Patch: `spec: {limited: {limitResponse: {queuing: {queues: 10000001, queueLengthLimit: -1}}}}`, Want: []string{
			"spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
			"spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater than 10000000",
		}},
	)
	rt.SubresourceVerdicts(t, PriorityLevelConfiguration(), "status", base,
		rt.Verdict{Name: "conditions", Patch: `status: {conditions: [{type: a}, {type: a}, {type: ""}]}`, Want: []string{
			`status.conditions[1].type: Duplicate value: "a"`, "status.conditions[2].type: Required value",
		}})
	rt.Columns(t, PriorityLevelConfiguration(), "Name", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age")
	rt.Cells(t, PriorityLevelConfiguration(), `{metadata: {name: l}, spec: {type: Limited, limited: {nominalConcurrencyShares: 7, limitResponse: {type: Queue, queuing: {queues: 4, handSize: 2, queueLengthLimit: 9}}}}}`,
		"l", "Limited", int64(7), int64(4), int64(2), int64(9), "60m")
	rt.Cells(t, PriorityLevelConfiguration(), `{metadata: {name: exempt}, spec: {type: Exempt}}`, "exempt", "Exempt", "<none>", "<none>", "<none>", "<none>", "60m")
}

func TestFlowSchema(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: s}
spec:
  priorityLevelConfiguration: {name: l}
  rules: [{subjects: [{kind: Group, group: {name: g}}], nonResourceRules: [{verbs: [get], nonResourceURLs: [/healthz, /a/*]}]}]
`
	rt.Verdicts(t, FlowSchema(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "paths", Patch: `spec: {rules: [{subjects: [{kind: Group, group: {name: ""}}], nonResourceRules: [{verbs: ["*", get], nonResourceURLs: ["", /, "/a b", //, "/*/*"]}]}]}`, Want: []string{
			"spec.rules[0].subjects[0].group.name: Required value",
			`spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs`,
			`spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "": must not be empty`,
			`spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/a b": must not contain white-space`,
			`spec.rules[0].nonResourceRules[0].nonResourceURLs[3]: Invalid value: "//": must not contain double slash`,
			`spec.rules[0].nonResourceRules[0].nonResourceURLs[4]: Invalid value: "/*/*": wildcard can only do suffix matching`,
		}},
	)
	rt.Columns(t, FlowSchema(), "Name", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL")
	rt.Cells(t, FlowSchema(), base, "s", "l", int64(0), "<none>", "60m", "?")
	rt.Cells(t, FlowSchema(), `{metadata: {name: s}, spec: {distinguisherMethod: {type: ByUser}}, status: {conditions: [{type: Dangling, status: "False"}]}}`,
		"s", "", int64(0), "ByUser", "60m", "False")
	before := &flowcontrolv1.FlowSchema{Spec: flowcontrolv1.FlowSchemaSpec{MatchingPrecedence: 9}}
	after := &flowcontrolv1.FlowSchema{Spec: flowcontrolv1.FlowSchemaSpec{MatchingPrecedence: 10}}
	if FlowSchema().Order(before, after) >= 0 {
		t.Error("schemas are not shown in the order in which they are tried")
	}
}
