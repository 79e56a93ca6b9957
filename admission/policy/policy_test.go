package policy_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	arv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"proa/admission"
	"proa/admission/policy"
	"proa/apiserver/apitest"
	"proa/apiserver/managed"
	"proa/auth"
	"proa/auth/source"
	"proa/cache"
	"proa/resource"
)

// tracker is shared by the tests: parsing its schema takes longer than they do.
var tracker = sync.OnceValue(func() *managed.Tracker {
	return managed.New(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(scheme.Scheme) })
})

// notes collects the audit annotations of a server's requests.
type notes struct {
	mu    sync.Mutex
	notes []string
}

func (n *notes) Name() string { return "Notes" }
func (n *notes) Handles(admission.Operation, *resource.Definition, string) bool {
	return true
}
func (n *notes) Mutate(_ context.Context, a *admission.Attributes) error {
	a.Annotate = func(key, value string, _ bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.notes = append(n.notes, key+"="+value)
	}
	return nil
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.Sort(n.notes)
	return n.notes
}

// world is an API server with policies.
type world struct {
	*apitest.Env
	notes notes
}

func start(t testing.TB) *world {
	t.Helper()
	w := &world{}
	w.Env = apitest.Start(t, apitest.WithAdmission(func(hub *cache.Hub, table *resource.Table) admission.Chain {
		c := policy.Config{Table: table, Hub: hub, Namespaces: source.New(hub, table.View()), Managed: tracker(), Log: slog.New(slog.DiscardHandler),
			Authorizer: auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
				if a.User.Name == "admin" {
					return auth.Allow, "", nil
				}
				return auth.NoOpinion, "", nil
			})}
		return admission.Chain{&w.notes, policy.NewMutating(c, table.View()), policy.NewValidating(c, table.View())}
	}))
	return w
}

// add creates a policy, and a binding of the same name whose spec is given.
func (w *world) add(t testing.TB, name, spec, binding string) {
	t.Helper()
	const about = `{matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [configmaps]}]}}`
	read := func(text string, into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	api, meta := w.Admin.AdmissionregistrationV1(), metav1.ObjectMeta{Name: name}
	var err error
	if strings.Contains(spec, "mutations:") {
		p := &arv1.MutatingAdmissionPolicy{ObjectMeta: meta}
		read(about, &p.Spec)
		read(spec, &p.Spec)
		if p.Spec.ReinvocationPolicy == "" {
			p.Spec.ReinvocationPolicy = arv1.NeverReinvocationPolicy
		}
		if _, err = api.MutatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{}); err == nil {
			b := &arv1.MutatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: arv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name}}
			read(binding, &b.Spec)
			_, err = api.MutatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{})
		}
	} else {
		p := &arv1.ValidatingAdmissionPolicy{ObjectMeta: meta}
		read(about, &p.Spec)
		read(spec, &p.Spec)
		if _, err = api.ValidatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{}); err == nil {
			b := &arv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: arv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []arv1.ValidationAction{arv1.Deny}}}
			read(binding, &b.Spec)
			_, err = api.ValidatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func config(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func (w *world) create(t testing.TB, c *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	t.Helper()
	return w.Admin.CoreV1().ConfigMaps("default").Create(t.Context(), c, metav1.CreateOptions{})
}

// TestVerdicts: what the client gets to read of each way to say no.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec, binding string
		// want is the message, empty where the write passes.
		want   string
		code   int32
		reason metav1.StatusReason
	}{
		"passes":     {`{validations: [{expression: "object.data.size() == 1"}]}`, `{}`, "", 0, ""},
		"expression": {`{validations: [{expression: "object.data.size() == 2"}]}`, `{}`, "failed expression: object.data.size() == 2", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"message":    {`{validations: [{expression: "false", message: " two, please "}]}`, `{}`, "two, please", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"computed": {`{validations: [{expression: "false", message: m, messageExpression: "'not ' + object.metadata.name", reason: Forbidden}]}`, `{}`,
			"not a", http.StatusForbidden, metav1.StatusReasonForbidden},
		"computed badly": {`{validations: [{expression: "false", message: m, messageExpression: "string(object.nothing)"}]}`, `{}`, "m", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"two lines":      {`{validations: [{expression: "false", messageExpression: "'a\\nb'"}]}`, `{}`, "failed expression: false", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"too large":      {`{validations: [{expression: "false", reason: RequestEntityTooLarge}]}`, `{}`, "failed expression: false", http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge},
		"error":          {`{validations: [{expression: "object.nothing == 1"}]}`, `{}`, "expression 'object.nothing == 1' resulted in error: no such key: nothing", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"error ignored":  {`{failurePolicy: Ignore, validations: [{expression: "object.nothing == 1"}]}`, `{}`, "", 0, ""},
		"no is no":       {`{failurePolicy: Ignore, validations: [{expression: "object.nothing == 1"}, {expression: "false"}]}`, `{}`, "failed expression: false", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"variables": {`{variables: [{name: k, expression: object.data.size()}, {name: m, expression: variables.k + 1}], validations: [{expression: variables.m < 2, messageExpression: "string(variables.m)"}]}`, `{}`,
			"2", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"an unused variable does not matter": {`{variables: [{name: bad, expression: object.nothing}], validations: [{expression: "true"}]}`, `{}`, "", 0, ""},
		"a bad variable":                     {`{variables: [{name: bad, expression: object.nothing}], validations: [{expression: variables.bad == 1}]}`, `{}`, `expression 'variables.bad == 1' resulted in error: composited variable "bad" fails to evaluate: no such key: nothing`, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"namespace":                          {`{validations: [{expression: "namespaceObject.metadata.name != 'default'"}]}`, `{}`, "failed expression: namespaceObject.metadata.name != 'default'", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"request":                            {`{validations: [{expression: "request.operation == 'CREATE' && request.userInfo.username == 'admin' && request.resource.resource == 'configmaps' && !request.dryRun && oldObject == null && request.options.kind == 'CreateOptions'"}]}`, `{}`, "", 0, ""},
		"authorizer":                         {`{validations: [{expression: "authorizer.requestResource.check('shout').allowed() && !authorizer.serviceAccount('a', 'b').group('apps').resource('deployments').check('get').allowed()"}]}`, `{}`, "", 0, ""},
		"condition":                          {`{matchConditions: [{name: a, expression: "object.metadata.name != 'a'"}], validations: [{expression: "false"}]}`, `{}`, "", 0, ""},
		"condition fails":                    {`{matchConditions: [{name: a, expression: "object.nothing == 1"}], validations: [{expression: "true"}]}`, `{}`, "expression 'object.nothing == 1' resulted in error: no such key: nothing", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
		"another namespace":                  {`{validations: [{expression: "false"}]}`, `{matchResources: {namespaceSelector: {matchLabels: {a: b}}}}`, "", 0, ""},
		"excluded":                           {`{validations: [{expression: "false"}]}`, `{matchResources: {excludeResourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: [CREATE], resources: ["*"], resourceNames: [a]}]}}`, "", 0, ""},
		"unbound":                            {`{validations: [{expression: "false"}]}`, `{policyName: other}`, "", 0, ""},
		"too dear": {`{validations: [{expression: "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, true))))))"}]}`, `{}`,
			"operation cancelled: actual cost limit exceeded", http.StatusUnprocessableEntity, metav1.StatusReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			w.add(t, "p", c.spec, c.binding)
			_, err := w.create(t, config("a", map[string]string{"k": "v"}))
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			var status *apierrors.StatusError
			if !errors.As(err, &status) || status.ErrStatus.Code != c.code || status.ErrStatus.Reason != c.reason || !strings.Contains(err.Error(), c.want) ||
				!strings.HasPrefix(err.Error(), `configmaps "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: `) {
				t.Errorf("got %+v", err)
			}
		})
	}
}

// TestBudget: all expressions of a policy share what they may cost, variables
// included.
func TestBudget(t *testing.T) {
	t.Parallel()
	w := start(t)
	const dear = `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, object.data.size() == 1)))))`
	w.add(t, "p", `{validations: [`+strings.Repeat(`{expression: "`+dear+`"}, `, 40)+`]}`, `{}`)
	_, err := w.create(t, config("a", map[string]string{"k": "v"}))
	if err == nil || !strings.Contains(err.Error(), "validation failed due to running out of cost budget, no further validation rules will be run") {
		t.Errorf("got %v", err)
	}
}

type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func TestActions(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.add(t, "p", `{validations: [{expression: "true"}, {expression: "false", message: bad}], auditAnnotations: [{key: size, valueExpression: "string(object.data.size())"}, {key: nothing, valueExpression: "null"}]}`, `{validationActions: [Warn, Audit]}`)
	got := &warnings{}
	conf := rest.CopyConfig(w.Loopback(apitest.AdminUser))
	conf.WarningHandler = got
	if _, err := kubernetes.NewForConfigOrDie(conf).CoreV1().ConfigMaps("default").Create(t.Context(), config("a", map[string]string{"k": "v"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.text, []string{"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': bad"}) {
		t.Errorf("warned of %q", got.text)
	}
	if n := w.notes.all(); !slices.Equal(n, []string{"p/size=1",
		`validation.policy.admission.k8s.io/validation_failure=[{"message":"bad","policy":"p","binding":"p","expressionIndex":1,"validationActions":["Warn","Audit"]}]`}) {
		t.Errorf("noted %q", n)
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	const limit = `{paramKind: {apiVersion: v1, kind: ConfigMap}, matchConditions: [{name: about, expression: "object.metadata.name.startsWith('x')"}],
	  validations: [{expression: "object.data.size() <= int(params.data.max)", messageExpression: "'at most ' + params.data.max + ' by ' + params.metadata.name + ' of ' + params.kind"}]}`
	for name, c := range map[string]struct{ binding, want string }{
		"by name":       {`{paramRef: {name: two, namespace: params, parameterNotFoundAction: Deny}}`, "at most 2 by two of ConfigMap"},
		"enough":        {`{paramRef: {name: five, namespace: params, parameterNotFoundAction: Deny}}`, ""},
		"all of some":   {`{paramRef: {selector: {matchLabels: {limit: "yes"}}, namespace: params, parameterNotFoundAction: Deny}}`, "at most 2 by two of ConfigMap"},
		"of its own":    {`{paramRef: {name: own, parameterNotFoundAction: Deny}}`, "at most 1 by own of ConfigMap"},
		"missing":       {`{paramRef: {name: none, namespace: params, parameterNotFoundAction: Deny}}`, "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"},
		"missing, fine": {`{paramRef: {name: none, namespace: params, parameterNotFoundAction: Allow}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			if _, err := w.Admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "params"}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, p := range []struct{ namespace, name, max string }{{"params", "two", "2"}, {"params", "five", "5"}, {"default", "own", "1"}} {
				m := config(p.name, map[string]string{"max": p.max})
				m.Labels = map[string]string{"limit": "yes"}
				if _, err := w.Admin.CoreV1().ConfigMaps(p.namespace).Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			w.add(t, "p", limit, c.binding)
			_, err := w.create(t, config("x", map[string]string{"a": "", "b": "", "c": ""}))
			if c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestMisconfigured: a policy that cannot be put into effect counts by its
// failure policy.
func TestMisconfigured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ spec, want string }{
		"closed": {`{paramKind: {apiVersion: example.com/v1, kind: Nothing}, validations: [{expression: "true"}]}`, "failed to configure binding: paramKind kind `&ParamKind{APIVersion:example.com/v1,Kind:Nothing,}` not known"},
		"open":   {`{failurePolicy: Ignore, paramKind: {apiVersion: example.com/v1, kind: Nothing}, validations: [{expression: "false"}]}`, ""},
		"mutating": {`{paramKind: {apiVersion: example.com/v1, kind: Nothing}, mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{}"}}]}`,
			"policy 'p' with binding 'p' denied request: failed to configure binding: paramKind kind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			w.add(t, "p", c.spec, `{paramRef: {name: a, namespace: b, parameterNotFoundAction: Allow}}`)
			_, err := w.create(t, config("a", nil))
			if c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestMutations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec string
		want map[string]string
		// fails is the error, by which nothing is made.
		fails string
	}{
		"apply":                     {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': object.data.a + '!'}}"}}]}`, map[string]string{"a": "1", "b": "1!"}, ""},
		"patch":                     {`{mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('b.c'), value: 'x'}, JSONPatch{op: 'remove', path: '/data/a'}]"}}]}`, map[string]string{"b.c": "x"}, ""},
		"in turn":                   {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': '2'}}"}}, {patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'c': object.data.b + '3'}}"}}]}`, map[string]string{"a": "1", "b": "2", "c": "23"}, ""},
		"variables":                 {`{variables: [{name: x, expression: "object.data.a + 'x'"}], mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': variables.x}}"}}]}`, map[string]string{"a": "1", "b": "1x"}, ""},
		"a test that does not hold": {`{mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'test', path: '/data/a', value: '2'}, JSONPatch{op: 'remove', path: '/data/a'}]"}}]}`, map[string]string{"a": "1"}, ""},
		"condition":                 {`{matchConditions: [{name: a, expression: "object.data.a == '2'"}], mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': '2'}}"}}]}`, map[string]string{"a": "1"}, ""},
		"namespace":                 {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': namespaceObject.metadata.name}}"}}]}`, map[string]string{"a": "1", "b": "default"}, ""},
		"error":                     {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': object.nothing}}"}}]}`, nil, `policy 'p' with binding 'p' denied request: expression 'Object{data: {'b': object.nothing}}' resulted in error: no such key: nothing`},
		"ignored":                   {`{failurePolicy: Ignore, mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': object.nothing}}"}}]}`, map[string]string{"a": "1"}, ""},
		"no such field":             {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{spec: Object.spec{x: 1}}"}}]}`, nil, `error applying patch: failed to convert patch object to typed object: .spec: field not declared in schema`},
		"another type":              {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: Object.wrong{}}"}}]}`, nil, `type mismatch`},
		"unknown field":             {`{mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'add', path: '/spec', value: 1}]"}}]}`, nil, `unknown field "spec"`},
		"bad path":                  {`{mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'remove', path: '/nothing'}]"}}]}`, nil, `denied request: JSON Patch: `},
		"invalid":                   {`{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'/': 'x'}}"}}]}`, nil, `data[/]: Invalid value`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			w.add(t, "p", c.spec, `{}`)
			made, err := w.create(t, config("a", map[string]string{"a": "1"}))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil || len(made.Data) != len(c.want) {
				t.Fatalf("got %v, %v", made, err)
			}
			for k, v := range c.want {
				if made.Data[k] != v {
					t.Errorf("got %v, want %v", made.Data, c.want)
				}
			}
		})
	}
}

func deployment() *appsv1.Deployment {
	labels := map[string]string{"a": "b"}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}}
}

// TestMutateByStructure: lists are merged by their keys, defaults are filled in,
// and what would replace a list that has none is refused.
func TestMutateByStructure(t *testing.T) {
	t.Parallel()
	const deployments = `matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}`
	w := start(t)
	w.add(t, "p", `{`+deployments+`, mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{initContainers: [Object.spec.template.spec.initContainers{name: 'side', image: 'proxy', restartPolicy: 'Always'}]}}}}"}}]}`, `{}`)
	d, err := w.Admin.AppsV1().Deployments("default").Create(t.Context(), deployment(), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := d.Spec.Template.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 1 || spec.InitContainers[0].ImagePullPolicy != corev1.PullAlways {
		t.Errorf("got %+v", spec)
	}
	w = start(t)
	w.add(t, "p", `{`+deployments+`, mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'c', args: ['x']}]}}}}"}}]}`, `{}`)
	_, err = w.Admin.AppsV1().Deployments("default").Create(t.Context(), deployment(), metav1.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].args") {
		t.Errorf("got %v", err)
	}
}

// TestReinvocation: a policy that asks for it sees what others have made of an
// object since.
func TestReinvocation(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{"IfNeeded": "again", "Never": ""} {
		w := start(t)
		w.add(t, "a", `{reinvocationPolicy: `+policy+`, mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "has(object.data.b) ? Object{data: {'a': 'again'}} : Object{}"}}]}`, `{}`)
		w.add(t, "b", `{mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{data: {'b': 'here'}}"}}]}`, `{}`)
		c, err := w.create(t, config("c", map[string]string{"x": "y"}))
		if err != nil || c.Data["a"] != want || c.Data["b"] != "here" {
			t.Errorf("%s: got %v, %v", policy, c, err)
		}
	}
}

// TestChangesTakeEffectAtOnce: the next request after the answer to a change of
// a policy or binding goes by it.
func TestChangesTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	dry := metav1.CreateOptions{DryRun: []string{"All"}}
	for range 10 {
		w.add(t, "p", `{validations: [{expression: "false"}]}`, `{}`)
		if _, err := w.Admin.CoreV1().ConfigMaps("default").Create(t.Context(), config("a", nil), dry); err == nil {
			t.Fatal("not refused")
		}
		if err := w.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Admin.CoreV1().ConfigMaps("default").Create(t.Context(), config("a", nil), dry); err != nil {
			t.Fatal(err)
		}
		if err := w.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConfigurationCannotBeHeld: no policy is about the configuration of
// admission, so that a bad one can be taken away.
func TestConfigurationCannotBeHeld(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.add(t, "p", `{matchConstraints: {resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}]}, validations: [{expression: "false"}]}`, `{}`)
	if err := w.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// TestDeletion: an object that goes is there as the old one.
func TestDeletion(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.add(t, "p", `{matchConditions: [{name: a, expression: "request.operation == 'DELETE'"}], validations: [{expression: "object == null && oldObject.data.keep != 'yes'"}]}`, `{}`)
	maps := w.Admin.CoreV1().ConfigMaps("default")
	for keep, ok := range map[string]bool{"yes": false, "no": true} {
		if _, err := w.create(t, config("a-"+keep, map[string]string{"keep": keep})); err != nil {
			t.Fatal(err)
		}
		if err := maps.Delete(t.Context(), "a-"+keep, metav1.DeleteOptions{}); ok != (err == nil) {
			t.Errorf("keep %s: %v", keep, err)
		}
	}
}

// BenchmarkPolicy is what a write costs in front of n policies that it passes.
func BenchmarkPolicy(b *testing.B) {
	for _, n := range []int{0, 1, 10} {
		b.Run(string(rune('0'+n%10)), func(b *testing.B) {
			w := start(b)
			for i := range n {
				w.add(b, "p"+string(rune('a'+i)), `{validations: [{expression: "object.data.size() < 100"}, {expression: "object.metadata.name.matches('^[a-z]+$')"}]}`, `{}`)
			}
			c := policy.Config{Table: w.Table, Hub: w.Hub, Namespaces: source.New(w.Hub, w.Table.View()), Managed: tracker(), Log: slog.New(slog.DiscardHandler)}
			chain := admission.Chain{policy.NewMutating(c, w.Table.View()), policy.NewValidating(c, w.Table.View())}
			m, _ := w.Table.View().Resource(corev1.SchemeGroupVersion.WithResource("configmaps"))
			a := admission.Attributes{Operation: admission.Create, Definition: m.Definition, Namespace: "default", Name: "a", Object: config("a", map[string]string{"k": "v"}), User: apitest.AdminUser}
			b.ReportAllocs()
			for b.Loop() {
				a := a
				if err := chain.Mutate(b.Context(), &a); err != nil {
					b.Fatal(err)
				}
				if err := chain.Validate(b.Context(), &a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
