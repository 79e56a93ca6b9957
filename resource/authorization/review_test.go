package authorization

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func review(t *testing.T, cases ...rt.Verdict) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			rt.Reviewed(t, SubjectAccessReview(), c.Patch, c.Want...)
		})
	}
}

func TestSubjectAccessReview(t *testing.T) {
	t.Parallel()
	review(t,
		rt.Verdict{Name: "resource", Patch: `spec: {user: jane, resourceAttributes: {verb: get, resource: pods}}`},
		rt.Verdict{Name: "url", Patch: `spec: {groups: [devs], nonResourceAttributes: {verb: get, path: /metrics}}`},
		rt.Verdict{Name: "nothing", Patch: `spec: {}`, Want: []string{
			"spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
			`spec.user: Invalid value: "": at least one of user or group must be specified`,
		}},
		rt.Verdict{Name: "both", Patch: `spec: {user: jane, resourceAttributes: {}, nonResourceAttributes: {path: /x}}`, Want: []string{
			`spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":""}: cannot be specified in combination with resourceAttributes`,
		}},
		rt.Verdict{Name: "selectors", Patch: `
spec:
  user: jane
  resourceAttributes:
    fieldSelector: {}
    labelSelector: {rawSelector: a=b, requirements: [{key: a, operator: In}]}
`, Want: []string{
			"spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
			`spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements`,
			"spec.resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
		}},
	)
}

func TestReviewsHaveNoMetadata(t *testing.T) {
	t.Parallel()
	const spec = `spec: {user: jane, resourceAttributes: {namespace: a}}`
	rt.Reviewed(t, LocalSubjectAccessReview(), `{metadata: {namespace: a}, `+spec+`}`)
	rt.Reviewed(t, LocalSubjectAccessReview(), `{metadata: {namespace: b}, `+spec+`}`,
		`spec.resourceAttributes.namespace: Invalid value: "a": must match metadata.namespace`)
	rt.Reviewed(t, SelfSubjectAccessReview(), `{metadata: {name: b}, spec: {resourceAttributes: {}}}`,
		`metadata: Invalid value: {"name":"b"}: must be empty`)
}
