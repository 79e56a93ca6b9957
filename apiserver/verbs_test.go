package apiserver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/auth"
)

// onlyAdmin allows everything to system:masters and nothing to anybody else.
var onlyAdmin = auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	if a.User.InGroup(auth.GroupMasters) {
		return auth.Allow, "", nil
	}
	return auth.NoOpinion, "no reason", nil
})

func TestCreate(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	w := want(t, env, call{method: "POST", path: cms, body: cm("a", `,"foo":1,"data":{"k":"v"}`), header: map[string]string{"User-Agent": "tester/1.0 (x)"}}, 201)
	if got := w.Header()["Warning"]; len(got) != 1 || got[0] != `299 - "unknown field \"foo\""` {
		t.Errorf("%q", got)
	}
	o := object(t, w)
	if dig(o, "kind") != "ConfigMap" || dig(o, "apiVersion") != "v1" || dig(o, "metadata", "namespace") != "default" || dig(o, "metadata", "uid") == "" {
		t.Errorf("%v", o)
	}
	if !strings.Contains(w.Body.String(), `"manager":"tester","operation":"Update"`) {
		t.Errorf("%s", w.Body)
	}
	if w.Header().Get("Audit-Id") == "" || w.Header().Get("Cache-Control") != "no-cache, private" {
		t.Errorf("%v", w.Header())
	}
	want(t, env, call{method: "POST", path: cms, body: `{"metadata":{"name":"v","resourceVersion":"1"}}`}, 500, "resourceVersion should not be set on objects to be created")
}

func TestGenerateName(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	w := want(t, env, call{method: "POST", path: cms, body: `{"metadata":{"generateName":"web-"}}`}, 201)
	name, _ := dig(object(t, w), "metadata", "name").(string)
	if len(name) != len("web-")+5 || !strings.HasPrefix(name, "web-") {
		t.Errorf("%q", name)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: cms + "?dryRun=All", body: cm("a", "")}, 201, `"uid":`)
	want(t, env, call{method: "GET", path: cms + "/a"}, 404)
	want(t, env, call{method: "POST", path: cms, body: cm("a", "")}, 201)
	want(t, env, call{method: "POST", path: cms + "?dryRun=All", body: cm("a", "")}, 409)
	want(t, env, call{method: "PUT", path: cms + "/a?dryRun=All", body: cm("a", `,"data":{"k":"v"}`)}, 200, `"k":"v"`)
	want(t, env, call{method: "PATCH", path: cms + "/a?dryRun=All", contentType: mergeType, body: `{"data":{"k":"v"}}`}, 200, `"k":"v"`)
	want(t, env, call{method: "PATCH", path: cms + "/n?dryRun=All&fieldManager=m", contentType: applyType, body: cm("n", `,"data":{"k":"v"}`)}, 201, `"k":"v"`)
	want(t, env, call{method: "DELETE", path: cms + "/a?dryRun=All"}, 200)
	w := want(t, env, call{method: "GET", path: cms}, 200)
	if strings.Contains(w.Body.String(), `"k":"v"`) || !strings.Contains(w.Body.String(), `"name":"a"`) {
		t.Errorf("%s", w.Body)
	}
	// It reads as what is stored does, which knows no empty list.
	const roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
	role := func(rules string) string {
		return `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"a"},"rules":` + rules + `}`
	}
	for _, query := range []string{"?dryRun=All", ""} {
		want(t, env, call{method: "POST", path: roles + query, body: role("[]")}, 201, `"rules":null`)
	}
	labelled := strings.Replace(role("[]"), `"name":"a"`, `"name":"a","labels":{"x":"y"}`, 1)
	want(t, env, call{method: "PUT", path: roles + "/a?dryRun=All", body: labelled}, 200, `"kind":"ClusterRole"`, `"rules":null`)
}

func TestNoChangeIsNoWrite(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	w := want(t, env, call{method: "POST", path: cms, body: cm("a", `,"data":{"k":"v"}`)}, 201)
	rv := dig(object(t, w), "metadata", "resourceVersion")
	for _, c := range []call{
		{method: "PUT", path: cms + "/a", body: cm("a", `,"data":{"k":"v"}`)},
		{method: "PATCH", path: cms + "/a", contentType: mergeType, body: `{"data":{"k":"v"}}`},
		{method: "PATCH", path: cms + "/a", contentType: strategic, body: `{"data":{"k":"v"}}`},
		{method: "PATCH", path: cms + "/a", contentType: jsonPatch, body: `[{"op":"replace","path":"/data/k","value":"v"}]`},
	} {
		if got := dig(object(t, want(t, env, c, 200)), "metadata", "resourceVersion"); got != rv {
			t.Errorf("%s %s: revision %v, was %v", c.method, c.contentType, got, rv)
		}
	}
	apply := call{method: "PATCH", path: cms + "/a?fieldManager=m", contentType: applyType, body: cm("a", `,"data":{"k":"v"}`)}
	first := dig(object(t, want(t, env, apply, 200)), "metadata", "resourceVersion")
	if first == rv {
		t.Error("the first apply must record who owns what")
	}
	if again := dig(object(t, want(t, env, apply, 200)), "metadata", "resourceVersion"); again != first {
		t.Errorf("the second apply changed the revision: %v, was %v", again, first)
	}
}

func TestPatch(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: podsPath, body: podBody}, 201)
	path := podsPath + "/p"
	want(t, env, call{method: "PATCH", path: path, contentType: strategic, body: `{"spec":{"containers":[{"name":"c","image":"j"}]}}`}, 200, `"image":"j"`)
	want(t, env, call{method: "PATCH", path: path, contentType: mergeType, body: `{"metadata":{"labels":{"a":"b"}}}`}, 200, `"a":"b"`)
	want(t, env, call{method: "PATCH", path: path, contentType: jsonPatch, body: `[{"op":"add","path":"/metadata/labels/c","value":"d"}]`}, 200, `"c":"d"`)
	want(t, env, call{method: "PATCH", path: path, contentType: jsonPatch, body: `[{"op":"test","path":"/metadata/name","value":"q"}]`}, 422, "the server rejected our request due to an error in our request")
	want(t, env, call{method: "PATCH", path: path + "/status", contentType: strategic, body: `{"status":{"phase":"Running"}}`}, 200, `"phase":"Running"`)
	want(t, env, call{method: "PATCH", path: path, contentType: mergeType, body: `{"metadata":{"resourceVersion":"1"}}`}, 409, "the object has been modified")
	want(t, env, call{method: "PATCH", path: path, contentType: mergeType, body: `{"metadata":{"name":"q"}}`}, 400, "the name of the object (q) does not match the name on the URL (p)")
	w := want(t, env, call{method: "PATCH", path: path, contentType: strategic, body: `{"spec":{"foo":1}}`}, 200)
	if got := w.Header().Get("Warning"); got != `299 - "unknown field \"spec.foo\""` {
		t.Errorf("%q", got)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	path := cms + "/a"
	w := want(t, env, call{method: "PATCH", path: path + "?fieldManager=one", contentType: applyType, body: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: \"1\"\n  y: \"1\"\n"}, 201, `"x":"1"`)
	if !strings.Contains(w.Body.String(), `{"manager":"one","operation":"Apply","apiVersion":"v1"`) {
		t.Errorf("%s", w.Body)
	}
	two := call{method: "PATCH", path: path + "?fieldManager=two", contentType: applyType, body: cm("a", `,"data":{"x":"2"}`)}
	s := status(t, want(t, env, two, 409))
	if s.Message != `Apply failed with 1 conflict: conflict with "one": .data.x` || len(s.Details.Causes) != 1 || s.Details.Causes[0].Type != "FieldManagerConflict" {
		t.Errorf("%+v", s)
	}
	two.path += "&force=true"
	want(t, env, two, 200, `"x":"2"`)
	// What a manager no longer applies and nobody else owns goes away.
	w = want(t, env, call{method: "PATCH", path: path + "?fieldManager=one", contentType: applyType, body: cm("a", "")}, 200)
	if strings.Contains(w.Body.String(), `"y"`) {
		t.Errorf("%s", w.Body)
	}
	want(t, env, call{method: "PATCH", path: path + "?fieldManager=one", contentType: applyType, body: `{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"a"}}`}, 400, "invalid object type: /v2, Kind=ConfigMap")
	want(t, env, call{method: "PATCH", path: path + "?fieldManager=one", contentType: applyType, body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","managedFields":[]}}`}, 400, "metadata.managedFields must be nil")
	want(t, env, call{method: "PATCH", path: path + "?fieldManager=one", contentType: applyType, body: `{`}, 400, "error decoding YAML")
	want(t, env, call{method: "PATCH", path: deploys + "/d?fieldManager=one", contentType: applyType, body: `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`}, 201, `"replicas":1`)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: cms, body: cm("a", "")}, 201)
	s := status(t, want(t, env, call{method: "DELETE", path: cms + "/a"}, 200))
	if s.Status != "Success" || s.Details.Name != "a" || s.Details.Kind != "configmaps" || s.Details.UID == "" {
		t.Errorf("%+v", s)
	}
	want(t, env, call{method: "DELETE", path: cms + "/a"}, 404, `configmaps \"a\" not found`)

	// A finalizer holds the object until it is taken off.
	want(t, env, call{method: "POST", path: cms, body: `{"metadata":{"name":"f","finalizers":["x.y/z"]}}`}, 201)
	w := want(t, env, call{method: "DELETE", path: cms + "/f"}, 200, `"deletionTimestamp":`, `"deletionGracePeriodSeconds":0`)
	again := want(t, env, call{method: "DELETE", path: cms + "/f"}, 200)
	if w.Body.String() != again.Body.String() {
		t.Errorf("asking again has changed the object: %s, was %s", again.Body, w.Body)
	}
	want(t, env, call{method: "POST", path: cms, body: cm("f", "")}, 409, "object is being deleted: configmaps")
	want(t, env, call{method: "PATCH", path: cms + "/f", contentType: mergeType, body: `{"metadata":{"finalizers":["a.b/c","x.y/z"]}}`}, 422, "no new finalizers can be added if the object is being deleted")
	want(t, env, call{method: "PATCH", path: cms + "/f", contentType: mergeType, body: `{"metadata":{"finalizers":null}}`}, 200)
	want(t, env, call{method: "GET", path: cms + "/f"}, 404)

	// Propagation is told to the garbage collector by finalizers.
	want(t, env, call{method: "POST", path: cms, body: cm("g", "")}, 201)
	want(t, env, call{method: "DELETE", path: cms + "/g?propagationPolicy=Foreground"}, 200, `"finalizers":["foregroundDeletion"]`)
	want(t, env, call{method: "POST", path: cms, body: cm("o", "")}, 201)
	want(t, env, call{method: "DELETE", path: cms + "/o", body: `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Orphan"}`}, 200, `"finalizers":["orphan"]`)
}

func TestDeleteCollection(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	for i := range 10 {
		want(t, env, call{method: "POST", path: cms, body: fmt.Sprintf(`{"metadata":{"name":"a%d","labels":{"n":"%d"}}}`, i, i%2)}, 201)
	}
	want(t, env, call{method: "DELETE", path: cms + "?labelSelector=n%3D0"}, 200, `"kind":"ConfigMapList"`)
	w := want(t, env, call{method: "GET", path: cms}, 200)
	if items, _ := object(t, w)["items"].([]any); len(items) != 5 {
		t.Errorf("%d are left", len(items))
	}
}

func TestNamespaceDeletion(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("n"))
	const path = "/api/v1/namespaces/n"
	want(t, env, call{method: "DELETE", path: path}, 200, `"phase":"Terminating"`, `"deletionTimestamp":`)
	want(t, env, call{method: "PUT", path: path + "/finalize", body: `{"metadata":{"name":"n"},"spec":{"finalizers":[]}}`}, 200)
	want(t, env, call{method: "GET", path: path}, 404)
}

func TestPodGracefulDeletion(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	path := podsPath + "/p"
	want(t, env, call{method: "POST", path: podsPath, body: podBody}, 201)
	// A pod on no node goes at once.
	want(t, env, call{method: "DELETE", path: path}, 200)
	want(t, env, call{method: "GET", path: path}, 404)
	want(t, env, call{method: "POST", path: podsPath, body: podBody}, 201)
	want(t, env, call{method: "POST", path: path + "/binding", body: `{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}`}, 201, `"status":"Success"`)
	want(t, env, call{method: "POST", path: path + "/binding", body: `{"metadata":{"name":"p"},"target":{"kind":"Node","name":"m"}}`}, 409, `Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"`)
	want(t, env, call{method: "GET", path: path}, 200, `"nodeName":"n"`, `"type":"PodScheduled","observedGeneration":1,"status":"True"`)
	want(t, env, call{method: "DELETE", path: path + "?gracePeriodSeconds=20"}, 200, `"deletionGracePeriodSeconds":20`, `"deletionTimestamp"`)
	want(t, env, call{method: "DELETE", path: path + "?gracePeriodSeconds=30"}, 200, `"deletionGracePeriodSeconds":20`)
	want(t, env, call{method: "DELETE", path: path + "?gracePeriodSeconds=10"}, 200, `"deletionGracePeriodSeconds":10`)
	want(t, env, call{method: "DELETE", path: path + "?gracePeriodSeconds=0"}, 200)
	want(t, env, call{method: "GET", path: path}, 404)
}

func TestEviction(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: podsPath, body: podBody}, 201)
	want(t, env, call{method: "POST", path: podsPath + "/p/eviction", body: `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"q"}}`}, 400, "name in URL does not match name in Eviction object")
	want(t, env, call{method: "POST", path: podsPath + "/p/eviction", body: `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}`}, 201, `"status":"Success"`)
	want(t, env, call{method: "GET", path: podsPath + "/p"}, 404)
}

func TestScale(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: deploys, body: `{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`}, 201, `"generation":1`)
	path := deploys + "/d/scale"
	want(t, env, call{method: "GET", path: path}, 200, `"kind":"Scale","apiVersion":"autoscaling/v1"`, `"replicas":1`, `"selector":"a=b"`)
	want(t, env, call{method: "PUT", path: path, body: `{"metadata":{"name":"d"},"spec":{"replicas":3}}`}, 200, `"replicas":3`)
	want(t, env, call{method: "PATCH", path: path, contentType: mergeType, body: `{"spec":{"replicas":4}}`}, 200, `"replicas":4`)
	want(t, env, call{method: "PATCH", path: path, contentType: mergeType, body: `{"spec":{"replicas":-1}}`}, 422, "spec.replicas: Invalid value: -1: must be greater than or equal to 0")
	want(t, env, call{method: "PUT", path: path, body: `{"metadata":{"name":"d","resourceVersion":"1"},"spec":{"replicas":3}}`}, 409, "the object has been modified")
	want(t, env, call{method: "GET", path: deploys + "/d"}, 200, `"replicas":4`, `"generation":3`, `"subresource":"scale"`)
}

func TestCreateOnUpdateNeedsPermission(t *testing.T) {
	t.Parallel()
	updater := auth.AuthorizerFunc(func(ctx context.Context, a *auth.Attributes) (auth.Decision, string, error) {
		if a.User.Name == "u" && (a.Verb == "update" || a.Verb == "patch") {
			return auth.Allow, "", nil
		}
		return onlyAdmin(ctx, a)
	})
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Authorizer = updater }))
	u := &auth.User{Name: "u"}
	want(t, env, call{method: "PATCH", path: cms + "/a?fieldManager=m", contentType: applyType, body: cm("a", ""), user: u}, 403, `cannot create resource \"configmaps\"`)
	lease := "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
	want(t, env, call{method: "PUT", path: lease, body: `{"metadata":{"name":"l"}}`, user: u}, 403)
	want(t, env, call{method: "PUT", path: lease, body: `{"metadata":{"name":"l"}}`}, 201)
}

// Events are served in two groups; each version makes checks of its own.
func TestEventsInBothGroups(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	const old, now = "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events"
	want(t, env, call{method: "POST", path: now, body: `{"metadata":{"name":"a"},"eventTime":"2026-01-02T03:04:05.000000Z","reportingController":"c.d/e","reportingInstance":"i","action":"A","reason":"R","type":"Normal","note":"n","regarding":{"kind":"Pod","namespace":"default","name":"p"}}`}, 201, `"kind":"Event","apiVersion":"events.k8s.io/v1"`, `"note":"n"`)
	want(t, env, call{method: "GET", path: old + "/a"}, 200, `"kind":"Event","apiVersion":"v1"`, `"message":"n"`, `"involvedObject":{"kind":"Pod"`)
	want(t, env, call{method: "GET", path: old + "?fieldSelector=involvedObject.name%3Dp"}, 200, `"name":"a"`)
	want(t, env, call{method: "POST", path: now, body: `{"metadata":{"name":"b"},"regarding":{"namespace":"default"}}`}, 422, `"field":"eventTime"`)
	want(t, env, call{method: "POST", path: old, body: `{"metadata":{"name":"c"},"involvedObject":{"namespace":"default"},"message":"m"}`}, 201)
	want(t, env, call{method: "GET", path: now, accept: pb}, 200)
	want(t, env, call{method: "PATCH", path: now + "/c", contentType: mergeType, body: `{"metadata":{"labels":{"a":"b"}}}`}, 200, `"a":"b"`)
	s := stream(t, env, now+"?watch=1", "")
	expect(t, s, `"apiVersion":"events.k8s.io/v1"`, `"note":"n"`)
}
