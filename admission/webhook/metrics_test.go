package webhook_test

import (
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/ptr"
)

// The metrics of an API server say what came of each question to a webhook, of each
// plugin and of each phase, as dashboards know them.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.mutate(t, "/mute", configMaps, func(h *arv1.MutatingWebhook) { h.FailurePolicy = ptr.To(arv1.Ignore) })
	w.on("/mute", func(rw http.ResponseWriter, _ *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		rw.WriteHeader(http.StatusTeapot)
		return nil
	})
	w.validate(t, "/yes", configMaps)
	w.settled(t)
	if _, err := w.create(t, config("a", nil)); err != nil {
		t.Fatal(err)
	}
	w.validate(t, "/no", configMaps)
	w.on("/no", refuse("no"))
	w.settled(t)
	_, err := w.create(t, config("refused", nil))
	wants(t, err, "denied the request")
	data, err := w.Admin.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have := string(data)
	for _, want := range []string{
		`apiserver_admission_webhook_admission_duration_seconds_count{name="mute.example.com",operation="CREATE",rejected="false",type="admit"}`,
		`apiserver_admission_webhook_fail_open_count{name="mute.example.com",type="admit"}`,
		`apiserver_admission_webhook_request_total{code="200",name="yes.example.com",operation="CREATE",rejected="false",type="validating"}`,
		`apiserver_admission_webhook_rejection_count{error_type="no_error",name="no.example.com",operation="CREATE",rejection_code="403",type="validating"} 1`,
		`apiserver_admission_controller_admission_duration_seconds_count{name="ValidatingAdmissionWebhook",operation="CREATE",rejected="true",type="validate"} 1`,
		`apiserver_admission_controller_admission_duration_seconds_count{name="MutatingAdmissionWebhook",operation="CREATE",rejected="false",type="admit"}`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="true",type="validate"} 1`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="false",type="admit"}`,
	} {
		if !strings.Contains(have, want) {
			t.Errorf("no %s in\n%s", want, lines(have, "apiserver_admission"))
		}
	}
}

// lines of a text that begin so.
func lines(text, prefix string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) && !strings.Contains(line, "_bucket") {
			out.WriteString(line)
		}
	}
	return out.String()
}
