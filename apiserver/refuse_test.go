package apiserver_test

import (
	"strings"
	"testing"
	"time"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/auth"
	"proa/cache"
)

// What a server refuses is part of the API: code, reason and words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithHub(cache.Options{WaitTimeout: 10 * time.Millisecond}))
	want(t, env, call{method: "POST", path: cms, body: cm("a", "")}, 201)
	deep := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	cases := []struct {
		name   string
		call   call
		code   int
		reason string
		text   string
	}{
		{"not found", call{method: "GET", path: cms + "/none"}, 404, "NotFound", `configmaps \"none\" not found`},
		{"not found in a group", call{method: "GET", path: deploys + "/none"}, 404, "NotFound", `deployments.apps \"none\" not found`},
		{"exists", call{method: "POST", path: cms, body: cm("a", "")}, 409, "AlreadyExists", `configmaps \"a\" already exists`},
		{"syntax", call{method: "POST", path: cms, body: "{"}, 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({)"},
		{"empty", call{method: "POST", path: cms}, 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap)"},
		{"deep", call{method: "POST", path: cms, body: deep}, 400, "BadRequest", "exceeded max depth"},
		{"deep yaml", call{method: "POST", path: cms, body: strings.Repeat("[", 20000), contentType: "application/yaml"}, 400, "BadRequest", "exceeded max depth"},
		{"wrong kind", call{method: "POST", path: cms, body: podBody}, 400, "BadRequest", `Pod in version \"v1\" cannot be handled as a ConfigMap`},
		{"content type", call{method: "POST", path: cms, body: "x", contentType: "text/plain"}, 415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"accept", call{method: "GET", path: cms, accept: "text/html"}, 406, "NotAcceptable", "Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"patch type", call{method: "PATCH", path: cms + "/a", body: "{}", contentType: "application/json"}, 415, "UnsupportedMediaType", "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"},
		{"strict", call{method: "POST", path: cms + "?fieldValidation=Strict", body: cm("s", `,"foo":1`)}, 400, "BadRequest", `ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\"`},
		{"bad validation", call{method: "POST", path: cms + "?fieldValidation=X", body: cm("s", "")}, 422, "Invalid", `fieldValidation: Unsupported value: \"X\"`},
		{"bad dry run", call{method: "POST", path: cms + "?dryRun=X", body: cm("s", "")}, 422, "Invalid", `dryRun: Unsupported value: [\"X\"]: supported values: \"All\"`},
		{"name", call{method: "POST", path: cms, body: cm("A_b", "")}, 422, "Invalid", `ConfigMap \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of`},
		{"no name", call{method: "POST", path: cms, body: `{}`}, 422, "Invalid", `metadata.name: Required value: name or generateName is required`},
		{"namespace", call{method: "POST", path: cms, body: `{"metadata":{"name":"x","namespace":"other"}}`}, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"},
		{"label", call{method: "POST", path: cms, body: `{"metadata":{"name":"x","labels":{"a b":"c"}}}`}, 422, "Invalid", "metadata.labels: Invalid value"},
		{"name in URL", call{method: "PUT", path: cms + "/a", body: cm("b", "")}, 400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)"},
		{"no name in PUT", call{method: "PUT", path: cms + "/a", body: "{}"}, 400, "BadRequest", "the name of the object (a based on URL) was undeterminable: name must be provided"},
		{"PUT of nothing", call{method: "PUT", path: cms + "/none", body: cm("none", "")}, 404, "NotFound", `configmaps \"none\" not found`},
		{"PATCH of nothing", call{method: "PATCH", path: cms + "/none", body: "{}", contentType: mergeType}, 404, "NotFound", `configmaps \"none\" not found`},
		{"old version", call{method: "PUT", path: cms + "/a", body: `{"metadata":{"name":"a","resourceVersion":"1"}}`}, 409, "Conflict", `Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again`},
		{"other uid", call{method: "PUT", path: cms + "/a", body: `{"metadata":{"name":"a","uid":"u"}}`}, 409, "Conflict", `Precondition failed: UID in precondition: u, UID in object meta: `},
		{"delete other uid", call{method: "DELETE", path: cms + "/a", body: `{"preconditions":{"uid":"u"}}`}, 409, "Conflict", "the UID in the precondition (u) does not match the UID in record ("},
		{"delete options", call{method: "DELETE", path: cms + "/a?propagationPolicy=Nonsense"}, 422, "Invalid", `propagationPolicy`},
		{"limit", call{method: "GET", path: cms + "?limit=x"}, 400, "BadRequest", "invalid syntax"},
		{"continue", call{method: "GET", path: cms + "?continue=x"}, 400, "BadRequest", "continue key is not valid"},
		{"label selector", call{method: "GET", path: cms + "?labelSelector=a+b"}, 400, "BadRequest", "unable to parse requirement"},
		{"field selector", call{method: "GET", path: cms + "?fieldSelector=spec.x%3Dy"}, 400, "BadRequest", `\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"`},
		{"field selector of pods", call{method: "GET", path: podsPath + "?fieldSelector=spec.x%3Dy"}, 400, "BadRequest", "field label not supported: spec.x"},
		{"match without version", call{method: "GET", path: cms + "?resourceVersionMatch=Exact"}, 422, "Invalid", "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"},
		{"future", call{method: "GET", path: cms + "?resourceVersion=99999999"}, 504, "Timeout", "Too large resource version"},
		{"version", call{method: "GET", path: cms + "?resourceVersion=x"}, 400, "BadRequest", `resourceVersion: Invalid value: \"x\"`},
		{"escape", call{method: "GET", path: "/api/v1/namespaces/../configmaps"}, 400, "BadRequest", ""},
		{"operations", call{method: "PATCH", path: cms + "/a", contentType: jsonPatch, body: "[" + strings.Repeat(`{"op":"test","path":"/kind","value":"ConfigMap"},`, 10000) + `{"op":"test","path":"/kind","value":"ConfigMap"}]`}, 413, "RequestEntityTooLarge", "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{"apply without manager", call{method: "PATCH", path: cms + "/b", contentType: applyType, body: cm("b", "")}, 422, "Invalid", "fieldManager: Required value: is required for apply patch"},
		{"selector", call{method: "POST", path: deploys, body: `{"metadata":{"name":"d"},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}`}, 422, "Invalid", `Deployment.apps \"d\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value`},
		{"container name", call{method: "POST", path: podsPath, body: strings.Replace(podBody, `"name":"c"`, `"name":"helloNginx"`, 1)}, 422, "Invalid", `Pod \"p\" is invalid: spec.containers[0].name: Invalid value: \"helloNginx\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := want(t, env, c.call, c.code, c.text)
			if s := status(t, w); string(s.Reason) != c.reason {
				t.Errorf("reason %q, want %q", s.Reason, c.reason)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	big := cm("a", `,"data":{"k":"`+strings.Repeat("x", 3<<20)+`"}`)
	s := status(t, want(t, env, call{method: "POST", path: cms, body: big}, 413))
	if s.Reason != "RequestEntityTooLarge" || s.Message != "Request entity too large: limit is 3145728" {
		t.Errorf("%+v", s)
	}
}

func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/nothing", 404}, {"GET", "/api/v1/nothing", 404}, {"GET", "/apis/none/v1/x", 404},
		{"GET", "/apis/none", 404}, {"POST", cms + "/a", 405}, {"PUT", cms, 405}, {"DELETE", "/api/v1/namespaces", 405},
		{"GET", podsPath + "/p/nothing", 404}, {"POST", "/api/v1/configmaps", 405}, {"GET", "/api/v1/namespaces/default/nodes/x", 405},
	} {
		w := call{method: c.method, path: c.path, body: cm("a", "")}.do(t, env)
		if w.Code != c.code || strings.Contains(w.Header().Get("Content-Type"), "json") {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Authorizer = onlyAdmin }))
	u := &auth.User{Name: "x<y", Groups: []string{auth.GroupAuthenticated}}
	for _, c := range []struct{ method, path, message string }{
		{"GET", podsPath, `pods is forbidden: User "x&lt;y" cannot list resource "pods" in API group "" in the namespace "default": no reason`},
		{"GET", podsPath + "/a/log", `pods "a" is forbidden: User "x&lt;y" cannot get resource "pods/log" in API group "" in the namespace "default": no reason`},
		{"GET", podsPath + "/a/exec", `pods "a" is forbidden: User "x&lt;y" cannot create resource "pods/exec" in API group "" in the namespace "default": no reason`},
		{"DELETE", "/apis/apps/v1/namespaces/a/deployments", `deployments.apps is forbidden: User "x&lt;y" cannot deletecollection resource "deployments" in API group "apps" in the namespace "a": no reason`},
		{"GET", "/api/v1/nodes", `nodes is forbidden: User "x&lt;y" cannot list resource "nodes" in API group "" at the cluster scope: no reason`},
		{"GET", "/y", `forbidden: User "x&lt;y" cannot get path "/y": no reason`},
	} {
		s := status(t, want(t, env, call{method: c.method, path: c.path, user: u}, 403))
		if s.Message != c.message || s.Reason != "Forbidden" {
			t.Errorf("%s", s.Message)
		}
	}
}

func TestImpersonate(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Authorizer = onlyAdmin }))
	as := func(user string, groups string) map[string]string {
		h := map[string]string{"Impersonate-User": user}
		if groups != "" {
			h["Impersonate-Group"] = groups
		}
		return h
	}
	want(t, env, call{method: "GET", path: podsPath, header: as("bob", "")}, 403, `User \"bob\" cannot list resource \"pods\"`)
	want(t, env, call{method: "GET", path: podsPath, header: as("bob", "system:masters")}, 200)
	want(t, env, call{method: "GET", path: podsPath, header: as("bob", ""), user: &auth.User{Name: "eve"}}, 403,
		`users \"bob\" is forbidden: User \"eve\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope`)
	want(t, env, call{method: "GET", path: podsPath, header: as("system:serviceaccount:ns:sa", ""), user: &auth.User{Name: "eve"}}, 403,
		`cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"ns\"`)
}
