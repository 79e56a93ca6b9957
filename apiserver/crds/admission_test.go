package crds_test

import (
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	arv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/policy"
	"proa/admission/webhook"
	"proa/apiserver/apitest"
	"proa/apiserver/callout"
	"proa/apiserver/managed"
	"proa/auth/source"
	"proa/cache"
	"proa/resource"
)

// admitted is an API server with the plugins that are configured through it.
func admitted(t *testing.T) *world {
	t.Helper()
	return start(t, apitest.WithAdmission(func(hub *cache.Hub, table *resource.Table) admission.Chain {
		objects, log := source.New(hub, table.View()), slog.New(slog.DiscardHandler)
		caller := callout.New(objects, nil)
		t.Cleanup(caller.Close)
		hooks := webhook.Config{Namespaces: objects, Caller: caller, Log: log}
		policies := policy.Config{Table: table, Hub: hub, Namespaces: objects, Managed: managed.New(managed.StandardTypes), Log: log}
		return admission.Chain{
			policy.NewMutating(policies, table.View()), webhook.NewMutating(hooks, hub, table.View()),
			policy.NewValidating(policies, table.View()), webhook.NewValidating(hooks, hub, table.View()),
		}
	}))
}

func aboutBoats(version string) arv1.RuleWithOperations {
	return arv1.RuleWithOperations{Operations: []arv1.OperationType{arv1.OperationAll}, Rule: arv1.Rule{
		APIGroups: []string{"example.com"}, APIVersions: []string{version}, Resources: []string{"boats"}}}
}

// TestPoliciesOnCustomResources: a policy merges by the schema of the
// definition, whose defaults and rules hold of what it makes.
func TestPoliciesOnCustomResources(t *testing.T) {
	t.Parallel()
	w := admitted(t)
	w.define(boats)
	ctx, api := t.Context(), w.Admin.AdmissionregistrationV1()
	match := &arv1.MatchResources{ResourceRules: []arv1.NamedRuleWithOperations{{RuleWithOperations: aboutBoats("v1")}}}
	if _, err := api.MutatingAdmissionPolicies().Create(ctx, &arv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Spec: arv1.MutatingAdmissionPolicySpec{
		MatchConstraints: match, ReinvocationPolicy: arv1.NeverReinvocationPolicy, Mutations: []arv1.Mutation{
			{PatchType: arv1.PatchTypeApplyConfiguration, ApplyConfiguration: &arv1.ApplyConfiguration{Expression: "Object{spec: Object.spec{crew: [Object.spec.crew{name: 'al'}]}}"}},
			{PatchType: arv1.PatchTypeJSONPatch, JSONPatch: &arv1.JSONPatch{Expression: "object.spec.color == 'grey' ? [JSONPatch{op: 'add', path: '/spec/sails', value: 20}] : []"}},
		}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.MutatingAdmissionPolicyBindings().Create(ctx, &arv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Spec: arv1.MutatingAdmissionPolicyBindingSpec{PolicyName: "m"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ValidatingAdmissionPolicies().Create(ctx, &arv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: arv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: match, Validations: []arv1.Validation{{Expression: "object == null || object.spec.crew.exists(c, c.name == 'al' && c.role == 'sailor') && object.spec.color != 'pink'"}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ValidatingAdmissionPolicyBindings().Create(ctx, &arv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: arv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "v", ValidationActions: []arv1.ValidationAction{arv1.Deny}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	boatsIn := w.in("example.com", "v1", "boats", "default")
	made, err := boatsIn.Create(ctx, object(t, boat), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, made); !strings.Contains(got, `"crew":[{"name":"jo","role":"sailor"},{"name":"al","role":"sailor"}]`) || !strings.Contains(got, `"sails":2`) {
		t.Errorf("made %s", got)
	}
	for color, want := range map[string]string{"pink": "ValidatingAdmissionPolicy 'v' with binding 'v' denied request", "grey": "too many sails"} {
		_, err := boatsIn.Create(ctx, object(t, strings.NewReplacer("red", color, "name: a", "name: "+color).Replace(boat)), metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", color, err)
		}
	}
	if _, err := boatsIn.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"crew":[{"name":"jo"}]}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	if err := boatsIn.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// TestWebhooksOnCustomResources: a webhook sees and changes them as any object;
// what it adds is pruned and completed.
func TestWebhooksOnCustomResources(t *testing.T) {
	t.Parallel()
	w := admitted(t)
	w.define(boats)
	hook := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		review := &admissionv1.AdmissionReview{}
		if err := json.NewDecoder(r.Body).Decode(review); err != nil {
			t.Error(err)
		}
		answer := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		switch review.Request.Operation {
		case admissionv1.Create:
			if o := string(review.Request.Object.Raw); !strings.Contains(o, `"kind":"Boat"`) || !strings.Contains(o, `"apiVersion":"example.com/v1"`) || !strings.Contains(o, `"sails":2`) {
				t.Errorf("shown %s", o)
			}
			answer.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
			answer.Patch = []byte(`[{"op":"replace","path":"/spec/sails","value":5},{"op":"add","path":"/spec/other","value":1},{"op":"add","path":"/spec/crew/-","value":{"name":"al"}}]`)
		case admissionv1.Delete:
			if !strings.Contains(string(review.Request.OldObject.Raw), `"sails":5`) {
				t.Errorf("shown %s", review.Request.OldObject.Raw)
			}
			answer.Allowed = false
		}
		_ = json.NewEncoder(rw).Encode(&admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: answer})
	}))
	defer hook.Close()
	if _, err := w.Admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &arv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Webhooks: []arv1.MutatingWebhook{{
		Name: "m.example.com", Rules: []arv1.RuleWithOperations{aboutBoats("*")}, SideEffects: ptr.To(arv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig: arv1.WebhookClientConfig{URL: ptr.To(hook.URL), CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})},
	}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	boatsIn := w.in("example.com", "v1", "boats", "default")
	made, err := boatsIn.Create(t.Context(), object(t, boat), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, made); !strings.Contains(got, `"spec":{"color":"red","crew":[{"name":"jo","role":"sailor"},{"name":"al","role":"sailor"}],"sails":5}`) {
		t.Errorf("made %s", got)
	}
	if err := boatsIn.Delete(t.Context(), "a", metav1.DeleteOptions{}); err == nil || !strings.Contains(err.Error(), `admission webhook "m.example.com" denied the request`) {
		t.Errorf("deleted: %v", err)
	}
}
