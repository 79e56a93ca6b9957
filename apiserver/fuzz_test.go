package apiserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"proa/apiserver/apitest"
	"proa/auth"
)

// FuzzHandler sends requests of any shape through the whole chain: none of them
// may panic, or be answered with what is no error of the client's.
func FuzzHandler(f *testing.F) {
	env := apitest.Start(f)
	for _, c := range []call{
		{method: "POST", path: cms, body: cm("a", `,"data":{"k":"v"}`)}, {method: "POST", path: podsPath, body: podBody},
	} {
		if w := c.do(f, env); w.Code != 201 {
			f.Fatal(w.Body)
		}
	}
	f.Add("GET", cms, "limit=1&continue=x&labelSelector=a+in+(b)&fieldSelector=metadata.name%3Da", "", "application/json;as=Table;g=meta.k8s.io;v=v1", "")
	f.Add("GET", podsPath, "watch=1&resourceVersion=0&allowWatchBookmarks=true", "", pb+";stream=watch", "")
	f.Add("POST", podsPath, "fieldValidation=Strict&dryRun=All", "application/yaml", "application/yaml", "kind: Pod\nmetadata: {name: &a x, labels: {a: *a}}\nspec: {containers: [{name: c, image: i}]}")
	f.Add("PUT", cms+"/a", "", "application/json", "", cm("a", `,"data":{"k":"w"}`))
	f.Add("PATCH", podsPath+"/p", "", strategic, "", `{"spec":{"containers":[{"name":"c","$patch":"delete"}],"$setElementOrder/containers":[{"name":"c"}]}}`)
	f.Add("PATCH", cms+"/a", "", jsonPatch, "", `[{"op":"move","from":"/data/k","path":"/data/-"}]`)
	f.Add("PATCH", cms+"/a", "fieldManager=m&force=true", applyType, "", cm("a", `,"data":{"k":"x"}`))
	f.Add("PATCH", podsPath+"/p/status", "", mergeType, "", `{"status":{"conditions":[{"type":"Ready"}]}}`)
	f.Add("DELETE", cms, "propagationPolicy=Orphan&dryRun=All", "application/json", "", `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"}}`)
	f.Add("PUT", deploys+"/d/scale", "", "", "", `{"kind":"Scale","apiVersion":"autoscaling/v1","spec":{"replicas":1}}`)
	f.Add("POST", podsPath+"/p/eviction", "", "", "", `{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p"}}`)
	f.Add("POST", "/api/v1/namespaces/default/pods/p/binding", "", "", "", `{"kind":"Binding","apiVersion":"v1","target":{"name":"n"}}`)
	f.Fuzz(func(t *testing.T, method, path, query, contentType, accept, body string) {
		r, err := http.NewRequest(method, "/", strings.NewReader(body))
		if err != nil {
			t.Skip() // no HTTP
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Accept", accept)
		// A watch goes on until its client leaves.
		ctx, cancel := context.WithTimeout(auth.WithUser(t.Context(), apitest.AdminUser), 100*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		env.Handler.ServeHTTP(w, r.WithContext(ctx))
		if strings.Contains(w.Body.String(), "caused apiserver to panic") || w.Code == 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
