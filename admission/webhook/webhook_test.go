package webhook_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	arv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/webhook"
	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/callout"
	"proa/apiserver/connect"
	"proa/auth"
	"proa/auth/source"
	"proa/cache"
	"proa/resource"
)

// world is an API server and a webhook beside it, which answers by path.
type world struct {
	*apitest.Env
	url string
	ca  []byte

	mu     sync.Mutex
	asked  []*admissionv1.AdmissionReview
	answer map[string]answerer
}

// answerer answers a review, or writes whatever else it likes.
type answerer func(w http.ResponseWriter, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

func start(t testing.TB) *world {
	t.Helper()
	w := &world{answer: map[string]answerer{}}
	s := httptest.NewTLSServer(w)
	t.Cleanup(s.Close)
	w.url, w.ca = s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	attach := connect.Handler{
		Options: func(q url.Values) (runtime.Object, error) {
			return &corev1.PodAttachOptions{Container: q.Get("container")}, nil
		},
		Stream: func(http.ResponseWriter, *http.Request, *connect.Stream) error { return nil },
	}
	w.Env = apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Connects = connect.Registry{{Resource: "pods", Subresource: "attach"}: attach}
	}), apitest.WithAdmission(func(hub *cache.Hub, table *resource.Table) admission.Chain {
		objects := source.New(hub, table.View())
		caller := callout.New(objects, nil)
		t.Cleanup(caller.Close)
		c := webhook.Config{Namespaces: objects, Caller: caller, Log: slog.New(slog.DiscardHandler), Authorizer: auth.AuthorizerFunc(
			func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
				if a.User.Name == "admin" {
					return auth.Allow, "", nil
				}
				return auth.NoOpinion, "", nil
			})}
		return admission.Chain{webhook.NewMutating(c, hub, table.View()), webhook.NewValidating(c, hub, table.View())}
	}))
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	review := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	w.asked = append(w.asked, review)
	answer := w.answer[r.URL.Path]
	w.mu.Unlock()
	if answer == nil {
		answer = allow
	}
	response := answer(rw, review.Request)
	if response == nil {
		return
	}
	if response.UID == "" {
		response.UID = review.Request.UID
	}
	_ = json.NewEncoder(rw).Encode(&admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
}

// on sets what is answered at a path.
func (w *world) on(path string, a answerer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer[path] = a
}

// reviews returns what was asked since the last call.
func (w *world) reviews() []*admissionv1.AdmissionRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*admissionv1.AdmissionRequest
	for _, r := range w.asked {
		out = append(out, r.Request)
	}
	w.asked = nil
	return out
}

func allow(http.ResponseWriter, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

func refuse(message string) answerer {
	return func(http.ResponseWriter, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: message, Code: http.StatusForbidden, Reason: "Nope"}}
	}
}

func change(patch string) answerer {
	return func(http.ResponseWriter, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(patch), PatchType: ptr.To(admissionv1.PatchTypeJSONPatch)}
	}
}

// about makes a rule of operation, group, version and resource.
func about(op arv1.OperationType, group, version string, resources ...string) []arv1.RuleWithOperations {
	return []arv1.RuleWithOperations{{Operations: []arv1.OperationType{op}, Rule: arv1.Rule{APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources}}}
}

func (w *world) hook(path string, rules []arv1.RuleWithOperations) arv1.ValidatingWebhook {
	return arv1.ValidatingWebhook{
		Name: strings.Trim(strings.ReplaceAll(path, "/", "-"), "-") + ".example.com", Rules: rules, SideEffects: ptr.To(arv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig: arv1.WebhookClientConfig{URL: ptr.To(w.url + path), CABundle: w.ca},
	}
}

func (w *world) validate(t testing.TB, path string, rules []arv1.RuleWithOperations, changes ...func(*arv1.ValidatingWebhook)) {
	t.Helper()
	h := w.hook(path, rules)
	for _, c := range changes {
		c(&h)
	}
	_, err := w.Admin.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), &arv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: strings.TrimPrefix(path, "/")}, Webhooks: []arv1.ValidatingWebhook{h}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) mutate(t testing.TB, path string, rules []arv1.RuleWithOperations, changes ...func(*arv1.MutatingWebhook)) {
	t.Helper()
	v := w.hook(path, rules)
	h := arv1.MutatingWebhook{Name: v.Name, Rules: v.Rules, SideEffects: v.SideEffects, AdmissionReviewVersions: v.AdmissionReviewVersions, ClientConfig: v.ClientConfig}
	for _, c := range changes {
		c(&h)
	}
	_, err := w.Admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &arv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: strings.TrimPrefix(path, "/")}, Webhooks: []arv1.MutatingWebhook{h}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func config(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"a": "b"}}
}

func (w *world) create(t testing.TB, c *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	return w.Admin.CoreV1().ConfigMaps("default").Create(t.Context(), c, metav1.CreateOptions{})
}

var configMaps = about("*", "", "v1", "configmaps")

func wants(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %q", err, text)
	}
}

// TestReview: what a webhook is told of each operation.
func TestReview(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.validate(t, "/all", configMaps)
	ctx, maps := t.Context(), w.Admin.CoreV1().ConfigMaps("default")
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}}, metav1.CreateOptions{FieldManager: "m"})
	if err != nil {
		t.Fatal(err)
	}
	created := one(t, w)
	if created.Operation != admissionv1.Create || created.Name != made.Name || created.Namespace != "default" || created.UserInfo.Username != "admin" ||
		created.Kind.Kind != "ConfigMap" || created.Resource.Resource != "configmaps" || created.RequestKind.Kind != "ConfigMap" || created.DryRun == nil || *created.DryRun {
		t.Errorf("of a creation: %+v", created)
	}
	if !strings.Contains(string(created.Options.Raw), `"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"`) || !strings.Contains(string(created.Options.Raw), `"fieldManager":"m"`) {
		t.Errorf("options %s", created.Options.Raw)
	}
	if o := string(created.Object.Raw); !strings.HasPrefix(o, `{"kind":"ConfigMap","apiVersion":"v1"`) || len(created.OldObject.Raw) > 4 {
		t.Errorf("objects %s and %s", o, created.OldObject.Raw)
	}
	made.Data = map[string]string{"x": "y"}
	w.settled(t)
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Fatal(err)
	}
	if r := one(t, w); r.Operation != admissionv1.Update || !*r.DryRun || !strings.Contains(string(r.Object.Raw), `"x":"y"`) || strings.Contains(string(r.OldObject.Raw), `"x"`) || !strings.Contains(string(r.OldObject.Raw), made.Name) {
		t.Errorf("of an update: %+v", r)
	}
	if _, err := maps.Patch(ctx, made.Name, types.MergePatchType, []byte(`{"data":{"p":"q"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := one(t, w); r.Operation != admissionv1.Update || !strings.Contains(string(r.Options.Raw), `"UpdateOptions"`) {
		t.Errorf("of a patch: %+v", r)
	}
	w.settled(t)
	if err := maps.Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := one(t, w); r.Operation != admissionv1.Delete || len(r.Object.Raw) > 4 || !strings.Contains(string(r.OldObject.Raw), made.Name) || !strings.Contains(string(r.Options.Raw), `"DeleteOptions"`) {
		t.Errorf("of a deletion: %+v", r)
	}
	for _, name := range []string{"one", "two"} {
		if _, err := w.create(t, config(name, nil)); err != nil {
			t.Fatal(err)
		}
	}
	w.reviews()
	w.settled(t)
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range w.reviews() {
		names = append(names, string(r.Operation)+" "+r.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"DELETE one", "DELETE two"}) {
		t.Errorf("of a collection: %v", names)
	}
}

// settled waits until the cache has what was written: a request that meets an
// older state is decided twice.
func (w *world) settled(t *testing.T) {
	t.Helper()
	if err := w.Hub.WaitLatest(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func one(t *testing.T, w *world) *admissionv1.AdmissionRequest {
	t.Helper()
	all := w.reviews()
	if len(all) != 1 {
		t.Fatalf("asked %d times", len(all))
	}
	return all[0]
}

// TestBeforeItIsNamed: mutating webhooks see a new object as it came.
func TestBeforeItIsNamed(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.mutate(t, "/all", configMaps)
	if _, err := w.create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}}); err != nil {
		t.Fatal(err)
	}
	r := one(t, w)
	got := &corev1.ConfigMap{}
	if err := json.Unmarshal(r.Object.Raw, got); err != nil {
		t.Fatal(err)
	}
	if r.Name != "" || got.Name != "" || got.UID != "" || got.GenerateName != "c-" {
		t.Errorf("shown %s as %q", r.Object.Raw, r.Name)
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/no", refuse("not today"))
	w.validate(t, "/no", configMaps)
	_, err := w.create(t, config("a", nil))
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Code != http.StatusForbidden || status.ErrStatus.Reason != "Nope" ||
		status.ErrStatus.Message != `admission webhook "no.example.com" denied the request: not today` {
		t.Errorf("got %+v", err)
	}
	w.on("/no", func(http.ResponseWriter, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Status: metav1.StatusSuccess, Code: 200}}
	})
	_, err = w.create(t, config("a", nil))
	if !errors.As(err, &status) || status.ErrStatus.Code != http.StatusBadRequest || status.ErrStatus.Message != `admission webhook "no.example.com" denied the request without explanation` {
		t.Errorf("got %+v", err)
	}
}

// TestChangesTakeEffectAtOnce: the next request after the answer to a change of
// configuration goes by it.
func TestChangesTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/no", refuse("no"))
	ctx, configurations := t.Context(), w.Admin.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	for range 20 {
		if _, err := w.Admin.CoreV1().ConfigMaps("default").Create(ctx, config("a", nil), metav1.CreateOptions{DryRun: []string{"All"}}); err != nil {
			t.Fatal(err)
		}
		w.validate(t, "/no", configMaps)
		_, err := w.create(t, config("a", nil))
		wants(t, err, "denied the request: no")
		if err := configurations.Delete(ctx, "no", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMutation(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/a", change(`[{"op":"add","path":"/data/first","value":"1"}]`))
	w.on("/b", func(rw http.ResponseWriter, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		if !strings.Contains(string(r.Object.Raw), `"first":"1"`) {
			return refuse("the first has not been here")(rw, r)
		}
		return change(`[{"op":"add","path":"/data/second","value":"2"}]`)(rw, r)
	})
	w.mutate(t, "/b", configMaps)
	w.mutate(t, "/a", configMaps)
	w.validate(t, "/v", configMaps)
	c, err := w.create(t, config("a", nil))
	if err != nil || c.Data["first"] != "1" || c.Data["second"] != "2" || c.Data["a"] != "b" {
		t.Fatalf("got %v, %v", c, err)
	}
	all := w.reviews()
	if last := string(all[len(all)-1].Object.Raw); !strings.Contains(last, `"second":"2"`) {
		t.Errorf("validated %s", last)
	}
}

// TestDefaultsAfterMutation: what a webhook adds is completed as what a client
// sends.
func TestDefaultsAfterMutation(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/init", change(`[{"op":"add","path":"/spec/initContainers","value":[{"name":"i","image":"busybox"}]}]`))
	w.mutate(t, "/init", about(arv1.Create, "", "v1", "pods"))
	p, err := w.Admin.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}}}, metav1.CreateOptions{})
	if err != nil || len(p.Spec.InitContainers) != 1 || p.Spec.InitContainers[0].TerminationMessagePolicy != corev1.TerminationMessageReadFile {
		t.Fatalf("got %+v, %v", p, err)
	}
}

// TestEquivalent: a rule about one version sees writes in another, converted,
// and what it changes is converted back; unless it wants exactly its own.
func TestEquivalent(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/v1", change(`[{"op":"replace","path":"/spec/targetCPUUtilizationPercentage","value":33}]`))
	w.mutate(t, "/v1", about(arv1.Create, "autoscaling", "v1", "horizontalpodautoscalers"))
	w.mutate(t, "/exact", about(arv1.Create, "autoscaling", "v1", "horizontalpodautoscalers"), func(h *arv1.MutatingWebhook) { h.MatchPolicy = ptr.To(arv1.Exact) })
	h, err := w.Admin.AutoscalingV2().HorizontalPodAutoscalers("default").Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "h"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "d", APIVersion: "apps/v1"}}}, metav1.CreateOptions{})
	if err != nil || *h.Spec.Metrics[0].Resource.Target.AverageUtilization != 33 {
		t.Fatalf("got %+v, %v", h, err)
	}
	r := one(t, w)
	shown := &autoscalingv1.HorizontalPodAutoscaler{}
	if err := json.Unmarshal(r.Object.Raw, shown); err != nil {
		t.Fatal(err)
	}
	if r.Kind.Version != "v1" || r.RequestKind.Version != "v2" || r.Resource.Version != "v1" || r.RequestResource.Version != "v2" || shown.APIVersion != "autoscaling/v1" || shown.Spec.TargetCPUUtilizationPercentage == nil {
		t.Errorf("shown %+v: %s", r, r.Object.Raw)
	}
}

// TestSubresources: each is matched by its name, and has its own kind.
func TestSubresources(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx := t.Context()
	d, err := w.Admin.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To[int32](1), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.settled(t)
	w.on("/scale", change(`[{"op":"replace","path":"/spec/replicas","value":7}]`))
	w.mutate(t, "/scale", about(arv1.Update, "*", "*", "*/scale"))
	w.on("/status", refuse("no status"))
	w.validate(t, "/status", about(arv1.Update, "apps", "v1", "deployments/status"))
	s, err := w.Admin.AppsV1().Deployments("default").UpdateScale(ctx, "d", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, metav1.UpdateOptions{})
	if err != nil || s.Spec.Replicas != 7 {
		t.Errorf("scaled to %+v, %v", s, err)
	}
	if r := one(t, w); r.Kind.Kind != "Scale" || r.Resource.Resource != "deployments" || r.SubResource != "scale" || !strings.Contains(string(r.Object.Raw), `"apiVersion":"autoscaling/v1"`) {
		t.Errorf("of a scale: %+v %s", r, r.Object.Raw)
	}
	if d, err = w.Admin.AppsV1().Deployments("default").Get(ctx, "d", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 7 {
		t.Errorf("stored %v, %v", d, err)
	}
	_, err = w.Admin.AppsV1().Deployments("default").UpdateStatus(ctx, d, metav1.UpdateOptions{})
	wants(t, err, "denied the request: no status")
	if _, err := w.Admin.AppsV1().Deployments("default").Update(ctx, d, metav1.UpdateOptions{}); err != nil {
		t.Errorf("the deployment itself: %v", err)
	}
}

// TestConnect: exec, attach, portforward and proxy are refused before they are
// connected, by their options.
func TestConnect(t *testing.T) {
	t.Parallel()
	w := start(t)
	if _, err := w.Admin.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.on("/attach", refuse("attaching to pod 'p' is not allowed"))
	w.validate(t, "/attach", about(arv1.Connect, "", "v1", "pods/attach"))
	err := w.Admin.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("attach").Param("container", "c").Do(t.Context()).Error()
	if err == nil {
		t.Fatal("attached")
	}
	wants(t, err, "attaching to pod 'p' is not allowed")
	if r := one(t, w); r.Operation != admissionv1.Connect || r.Kind.Kind != "PodAttachOptions" || r.SubResource != "attach" || !strings.Contains(string(r.Object.Raw), `"container":"c"`) {
		t.Errorf("of attaching: %+v %s", r, r.Object.Raw)
	}
}

func TestSelectorsAndConditions(t *testing.T) {
	t.Parallel()
	w := start(t)
	labelled := func(k string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{k: "yes"}}
	}
	if _, err := w.Admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "marked", Labels: map[string]string{"ns": "yes"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for path, set := range map[string]func(*arv1.ValidatingWebhook){
		"/object":    func(h *arv1.ValidatingWebhook) { h.ObjectSelector = labelled("object") },
		"/namespace": func(h *arv1.ValidatingWebhook) { h.NamespaceSelector = labelled("ns") },
		"/name": func(h *arv1.ValidatingWebhook) {
			h.MatchConditions = []arv1.MatchCondition{{Name: "a", Expression: "object.metadata.name.startsWith('cond')"}, {Name: "b", Expression: "request.operation == 'CREATE' && oldObject == null"}}
		},
		"/user": func(h *arv1.ValidatingWebhook) {
			h.MatchConditions = []arv1.MatchCondition{{Name: "a", Expression: "!authorizer.requestResource.check('create').allowed()"}}
		},
		"/broken": func(h *arv1.ValidatingWebhook) {
			h.FailurePolicy = ptr.To(arv1.Ignore)
			h.MatchConditions = []arv1.MatchCondition{{Name: "a", Expression: "object.nothing == 1"}}
		},
	} {
		w.on(path, refuse(path))
		w.validate(t, path, about(arv1.Create, "", "v1", "configmaps"), set)
	}
	for _, c := range []struct {
		namespace string
		user      string
		object    *corev1.ConfigMap
		by        string
	}{
		{"default", "admin", config("a", nil), ""},
		{"default", "admin", config("b", map[string]string{"object": "yes"}), "/object"},
		{"marked", "admin", config("a", nil), "/namespace"},
		{"default", "admin", config("cond", nil), "/name"},
		{"default", "jane", config("c", nil), "/user"},
	} {
		_, err := w.Clients(&auth.User{Name: c.user, Groups: []string{auth.GroupMasters}}).CoreV1().ConfigMaps(c.namespace).Create(t.Context(), c.object, metav1.CreateOptions{})
		if c.by == "" {
			if err != nil {
				t.Errorf("%v: %v", c, err)
			}
			continue
		}
		wants(t, err, "denied the request: "+c.by)
	}
}

// TestFailingConditions: where a condition cannot be evaluated, the failure
// policy decides.
func TestFailingConditions(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.validate(t, "/broken", configMaps, func(h *arv1.ValidatingWebhook) {
		h.MatchConditions = []arv1.MatchCondition{{Name: "a", Expression: "object.nothing == 1"}}
	})
	_, err := w.create(t, config("a", nil))
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	wants(t, err, `configmaps "a" is forbidden: expression 'object.nothing == 1' resulted in error: no such key: nothing`)
}

func TestReinvocation(t *testing.T) {
	t.Parallel()
	w := start(t)
	// a wants to see what b makes of the object; c does not care.
	w.on("/a", func(rw http.ResponseWriter, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		if strings.Contains(string(r.Object.Raw), `"b":"was here"`) {
			return change(`[{"op":"add","path":"/data/a","value":"again"}]`)(rw, r)
		}
		return allow(rw, r)
	})
	w.on("/b", change(`[{"op":"add","path":"/data/b","value":"was here"}]`))
	w.mutate(t, "/a", configMaps, func(h *arv1.MutatingWebhook) { h.ReinvocationPolicy = ptr.To(arv1.IfNeededReinvocationPolicy) })
	w.mutate(t, "/b", configMaps)
	c, err := w.create(t, config("c", nil))
	if err != nil || c.Data["a"] != "again" {
		t.Fatalf("got %v, %v", c, err)
	}
	if n := len(w.reviews()); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

// TestFailurePolicy: a webhook that cannot be asked, or talks nonsense, refuses
// or lets pass as its configuration says. Nothing of what it does costs more
// than its time.
func TestFailurePolicy(t *testing.T) {
	t.Parallel()
	w := start(t)
	for path, c := range map[string]struct {
		answer answerer
		want   string
	}{
		"/uid": {func(http.ResponseWriter, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return &admissionv1.AdmissionResponse{UID: "other", Allowed: true}
		}, `received invalid webhook response: expected response.uid=`},
		"/kind": {func(rw http.ResponseWriter, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			io.WriteString(rw, `{"response":{"allowed":true,"uid":"`+string(r.UID)+`"}}`)
			return nil
		}, `received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=`},
		"/absent": {func(rw http.ResponseWriter, _ *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			io.WriteString(rw, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`)
			return nil
		}, `received invalid webhook response: webhook response was absent`},
		"/patch": {change(`[]`), "received invalid webhook response: validating webhook may not return response.patch"},
		"/text": {func(rw http.ResponseWriter, _ *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			io.WriteString(rw, `hello`)
			return nil
		}, `failed to call webhook: couldn't get version/kind; json parse error`},
		"/error": {func(rw http.ResponseWriter, _ *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			rw.WriteHeader(http.StatusInternalServerError)
			return nil
		}, `failed to call webhook: an error on the server`},
	} {
		name := strings.TrimPrefix(path, "/")
		w.on(path, c.answer)
		w.validate(t, path, configMaps)
		_, err := w.create(t, config(name, nil))
		if !apierrors.IsInternalError(err) {
			t.Errorf("%s: got %v", path, err)
		}
		wants(t, err, `Internal error occurred: failed calling webhook "`+name+`.example.com": `+c.want)
		configurations := w.Admin.AdmissionregistrationV1().ValidatingWebhookConfigurations()
		if _, err := configurations.Patch(t.Context(), name, types.JSONPatchType, []byte(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.create(t, config(name, nil)); err != nil {
			t.Errorf("%s: ignored, but %v", path, err)
		}
		if err := configurations.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTimeout: a webhook has the time that its configuration gives it, and is
// told how much that is.
func TestTimeout(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/slow", func(http.ResponseWriter, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		time.Sleep(3 * time.Second) // longer than anybody waits here
		return &admissionv1.AdmissionResponse{Allowed: true}
	})
	w.validate(t, "/slow", configMaps, func(h *arv1.ValidatingWebhook) { h.TimeoutSeconds = ptr.To[int32](1) })
	_, err := w.create(t, config("a", nil))
	wants(t, err, `failed calling webhook "slow.example.com": failed to call webhook: Post "`+w.url+`/slow?timeout=1s": context deadline exceeded`)
}

// TestBadPatches: what a webhook makes of an object is checked like what a
// client sends.
func TestBadPatches(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.mutate(t, "/bad", configMaps)
	for name, c := range map[string]struct{ patch, want string }{
		"no patch":       {`{"a":1}`, "received undecodable patch in webhook response"},
		"too many":       {"[" + strings.Repeat(`{"op":"test","path":"/a","value":1},`, 10000) + `{"op":"test","path":"/a","value":1}]`, "the allowed maximum operations in a JSON patch is 10000, got 10001"},
		"no such path":   {`[{"op":"remove","path":"/spec"}]`, "Internal error occurred: error in remove for path: '/spec'"},
		"wrong type":     {`[{"op":"replace","path":"/data","value":7}]`, "Internal error occurred: json: cannot unmarshal number"},
		"another kind":   {`[{"op":"replace","path":"/kind","value":"Secret"}]`, "a kind cannot be changed"},
		"elsewhere":      {`[{"op":"replace","path":"/metadata/namespace","value":"other"}]`, "the namespace of the provided object does not match the namespace sent on the request"},
		"invalid":        {`[{"op":"add","path":"/data/a~1b","value":"c"}]`, `data[a/b]: Invalid value`},
		"managed fields": {`[{"op":"add","path":"/metadata/managedFields","value":[{"manager":"x","operation":"Nonsense","fieldsV1":{}}]}]`, ""},
	} {
		w.on("/bad", change(c.patch))
		made, err := w.create(t, config("a", nil))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil || len(made.ManagedFields) != 1 || made.ManagedFields[0].Operation != metav1.ManagedFieldsOperationUpdate {
			t.Errorf("%s: got %v, %v", name, made, err)
		}
	}
	w.on("/bad", change(`[{"op":"add","path":"/data/x","value":"y"}]`))
	wants(t, w.Admin.CoreV1().ConfigMaps("default").Delete(t.Context(), "a", metav1.DeleteOptions{}),
		`Internal error occurred: admission webhook "bad.example.com" attempted to modify the object, which is not supported for this operation`)
}

// TestDryRun: a webhook with side effects is not asked about what is not going
// to happen, and the request refused.
func TestDryRun(t *testing.T) {
	t.Parallel()
	w := start(t)
	// What an older release has accepted.
	effects := w.hook("/effects", configMaps)
	effects.SideEffects = ptr.To(arv1.SideEffectClassSome)
	h := &arv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "effects", UID: "1"}, Webhooks: []arv1.ValidatingWebhook{effects}}
	def, _ := w.Table.View().Resource(arv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations"))
	h.SetGroupVersionKind(def.GroupVersionKind())
	def.Default(h)
	e, err := w.Hub.Cache(def.Definition).Create(t.Context(), h, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Hub.WaitUntil(t.Context(), e.Revision); err != nil {
		t.Fatal(err)
	}
	_, err = w.Admin.CoreV1().ConfigMaps("default").Create(t.Context(), config("a", nil), metav1.CreateOptions{DryRun: []string{"All"}})
	if !apierrors.IsBadRequest(err) || err.Error() != `admission webhook "effects.example.com" does not support dry run` {
		t.Errorf("got %v", err)
	}
	if _, err := w.create(t, config("a", nil)); err != nil || len(w.reviews()) != 1 {
		t.Errorf("got %v", err)
	}
}

// TestConfigurationCannotBeHeld: no webhook is asked about the configuration of
// admission, so that a bad one can be taken away.
func TestConfigurationCannotBeHeld(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/all", refuse("mine"))
	w.on("/change", change(`[{"op":"add","path":"/metadata/labels","value":{"owned":"yes"}}]`))
	w.validate(t, "/all", about("*", "*", "*", "*/*"))
	w.mutate(t, "/change", about("*", "admissionregistration.k8s.io", "*", "*/*"))
	w.validate(t, "/other", configMaps)
	c, err := w.Admin.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "other", metav1.GetOptions{})
	if err != nil || len(c.Labels) > 0 {
		t.Errorf("got %v, %v", c, err)
	}
	if err := w.Admin.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "all", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// TestDeadWebhookDoesNotStopNodes: what keeps nodes alive goes on where a
// webhook about everything else is dead and fails closed.
func TestDeadWebhookDoesNotStopNodes(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.validate(t, "/pods", about("*", "", "*", "pods", "pods/*"), func(h *arv1.ValidatingWebhook) { h.ClientConfig.URL = ptr.To("https://127.0.0.1:1/") })
	if _, err := w.Admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	_, err := w.Admin.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}}}, metav1.CreateOptions{})
	wants(t, err, "connection refused")
}

// warned collects warnings.
type warned struct {
	mu   sync.Mutex
	text []string
}

func (w *warned) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func TestWarningsAndBeta(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.on("/warn", func(_ http.ResponseWriter, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{UID: "whatever", Allowed: true, Warnings: []string{"mind the gap"}}
	})
	w.validate(t, "/warn", configMaps, func(h *arv1.ValidatingWebhook) { h.AdmissionReviewVersions = []string{"v2", "v1beta1", "v1"} })
	got := &warned{}
	conf := w.Loopback(apitest.AdminUser)
	conf.WarningHandler = got
	client, err := rest.RESTClientFor(restConfig(conf))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Post().Namespace("default").Resource("configmaps").Body(config("a", nil)).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.text, []string{"mind the gap"}) {
		t.Errorf("warned of %q", got.text)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.asked[0].APIVersion; v != "admission.k8s.io/v1beta1" {
		t.Errorf("asked in %s", v)
	}
}

func restConfig(c *rest.Config) *rest.Config {
	gv := corev1.SchemeGroupVersion
	c.GroupVersion, c.APIPath = &gv, "/api"
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return c
}

// TestTrueOldObject: CVE-2021-25735. A webhook that compares what a node becomes
// with what it was is shown what is stored, whatever the request brings.
func TestTrueOldObject(t *testing.T) {
	t.Parallel()
	w := start(t)
	nodes := w.Admin.CoreV1().Nodes()
	if _, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"locked": "yes"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.on("/lock", func(rw http.ResponseWriter, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		if strings.Contains(string(r.OldObject.Raw), `"locked":"yes"`) && !strings.Contains(string(r.Object.Raw), `"locked":"yes"`) {
			return refuse("the label is locked")(rw, r)
		}
		return allow(rw, r)
	})
	w.validate(t, "/lock", about(arv1.Update, "", "v1", "nodes", "nodes/*"))
	for _, subresource := range [][]string{nil, {"status"}} {
		_, err := nodes.Patch(t.Context(), "n", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"locked":null}}}`), metav1.PatchOptions{}, subresource...)
		wants(t, err, "the label is locked")
	}
	_, err := nodes.Update(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.UpdateOptions{})
	wants(t, err, "the label is locked")
}
