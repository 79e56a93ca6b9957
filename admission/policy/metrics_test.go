package policy_test

import (
	"strings"
	"testing"
)

// The metrics of an API server say which policies did not hold, and what came of it.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.add(t, "warns", `{validations: [{expression: "false"}]}`, `{validationActions: [Warn, Audit]}`)
	w.add(t, "ignored", `{failurePolicy: Ignore, validations: [{expression: "object.data.nothing == 'x'"}]}`, `{}`)
	if _, err := w.create(t, config("a", nil)); err != nil {
		t.Fatal(err)
	}
	w.add(t, "denies", `{validations: [{expression: "true"}, {expression: "false"}]}`, `{}`)
	w.add(t, "fails", `{validations: [{expression: "object.data.nothing == 'x'"}]}`, `{}`)
	if _, err := w.create(t, config("b", nil)); err == nil {
		t.Fatal("it was not refused")
	}
	data, err := w.Admin.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`apiserver_validating_admission_policy_check_total{enforcement_action="warn",error_type="no_error",policy="warns",policy_binding="warns"} 2`,
		`apiserver_validating_admission_policy_check_total{enforcement_action="audit",error_type="no_error",policy="warns",policy_binding="warns"} 2`,
		`apiserver_validating_admission_policy_check_total{enforcement_action="allow",error_type="invalid_error",policy="ignored",policy_binding="ignored"} 2`,
		`apiserver_validating_admission_policy_check_total{enforcement_action="deny",error_type="no_error",policy="denies",policy_binding="denies"} 1`,
		`apiserver_validating_admission_policy_check_total{enforcement_action="deny",error_type="invalid_error",policy="fails",policy_binding="fails"} 1`,
		`apiserver_validating_admission_policy_check_duration_seconds_count{enforcement_action="deny",error_type="no_error",policy="denies",policy_binding="denies"} 1`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s", want)
		}
	}
}
