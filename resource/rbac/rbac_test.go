package rbac

import (
	"testing"

	rt "proa/resource/resourcetest"
)

func TestRole(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: "system:viewer"}, rules: [{verbs: [get], apiGroups: [""], resources: [pods]}]}`
	rt.Verdicts(t, Role(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "empty rule", Patch: `rules: [{}]`, Want: []string{
			"rules[0].verbs: Required value: verbs must contain at least one value",
			"rules[0].apiGroups: Required value: resource rules must supply at least one api group",
			"rules[0].resources: Required value: resource rules must supply at least one resource",
		}},
		rt.Verdict{Name: "url", Patch: `rules: [{verbs: [get], nonResourceURLs: [/metrics]}]`, Want: []string{
			`rules[0].nonResourceURLs: Invalid value: ["/metrics"]: namespaced rules cannot apply to non-resource URLs`,
		}},
	)
	rt.Columns(t, Role(), "Name", "Created At")
	rt.Cells(t, Role(), base, "system:viewer", "2026-04-22T11:00:00Z")
	if m := Role().ValidateName("a/b", false); len(m) != 1 {
		t.Errorf("a name with a slash: %v", m)
	}
}

func TestClusterRole(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, ClusterRole(), `{metadata: {name: a}}`,
		rt.Verdict{Name: "no rules"},
		rt.Verdict{Name: "url", Patch: `rules: [{verbs: [get], nonResourceURLs: ["*"]}]`},
		rt.Verdict{Name: "both", Patch: `rules: [{verbs: [get], nonResourceURLs: ["/x"], resources: [pods]}]`, Want: []string{
			`rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs`,
		}},
		rt.Verdict{Name: "aggregates nothing", Patch: `aggregationRule: {}`, Want: []string{
			"aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
		}},
	)
}

func TestRoleBinding(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: a}
roleRef: {kind: Role, name: viewer}
subjects:
- {kind: User, name: jane}
- {kind: Group, name: devs}
- {kind: ServiceAccount, name: default}
`
	rt.Verdicts(t, RoleBinding(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "bad reference", Patch: `roleRef: {apiGroup: other, kind: User, name: ""}`, Want: []string{
			`roleRef.apiGroup: Unsupported value: "other": supported values: "rbac.authorization.k8s.io"`,
			`roleRef.kind: Unsupported value: "User": supported values: "Role", "ClusterRole"`,
			"roleRef.name: Required value",
		}},
		rt.Verdict{Name: "bad subjects", Patch: `subjects: [{kind: User, apiGroup: x}, {kind: ServiceAccount, name: A}, {kind: Dog, name: rex}]`, Want: []string{
			"subjects[0].name: Required value",
			`subjects[0].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"`,
			`subjects[1].name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			`subjects[2].kind: Unsupported value: "Dog": supported values: "ServiceAccount", "User", "Group"`,
		}},
	)
	rt.UpdateVerdicts(t, RoleBinding(), base,
		rt.Verdict{Name: "subjects change", Patch: `subjects: null`},
		rt.Verdict{Name: "role stays", Patch: `roleRef: {name: admin}`, Want: []string{
			`roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"admin"}: cannot change roleRef`,
		}},
	)
	rt.Columns(t, RoleBinding(), "Name", "Role", "Age", "(Users)", "(Groups)", "(ServiceAccounts)")
	rt.Cells(t, RoleBinding(), `
metadata: {name: a}
roleRef: {kind: Role, name: viewer}
subjects: [{kind: User, name: jane}, {kind: User, name: joe}, {kind: ServiceAccount, name: x, namespace: ns}]
`, "a", "Role/viewer", "60m", "jane, joe", "", "ns/x")
}

func TestClusterRoleBindingNeedsNamespaces(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, ClusterRoleBinding(), `{metadata: {name: a}, roleRef: {kind: ClusterRole, name: admin}}`,
		rt.Verdict{Name: "no subjects"},
		rt.Verdict{Name: "a role", Patch: `roleRef: {kind: Role}`, Want: []string{
			`roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"`,
		}},
		rt.Verdict{Name: "account of nowhere", Patch: `subjects: [{kind: ServiceAccount, name: a}]`, Want: []string{
			"subjects[0].namespace: Required value",
		}},
	)
}
