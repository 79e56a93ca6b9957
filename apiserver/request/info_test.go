package request

import "testing"

func TestParse(t *testing.T) {
	t.Parallel()
	cases := []struct {
		method, path, query string
		want                Info
	}{
		{"GET", "/", "", Info{Verb: "get"}},
		{"GET", "/healthz/etcd", "", Info{Verb: "get"}},
		{"GET", "/api", "", Info{Verb: "get"}},
		{"GET", "/api/v1", "", Info{Verb: "get"}},
		{"GET", "/api/v1/", "", Info{Verb: "get"}},
		{"GET", "/apis/apps", "", Info{Verb: "get"}},
		{"GET", "/apis/apps/v1", "", Info{Verb: "get"}},
		{"POST", "/version", "", Info{Verb: "post"}},
		{"GET", "/api/v1/pods", "", Info{IsResource: true, Verb: "list", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/pods", "watch=true", Info{IsResource: true, Verb: "watch", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/pods", "watch=0", Info{IsResource: true, Verb: "list", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/pods", "watch=", Info{IsResource: true, Verb: "watch", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/watch/namespaces/a/pods/b", "", Info{IsResource: true, Verb: "watch", Version: "v1", Namespace: "a", Resource: "pods", Name: "b", LegacyWatch: true}},
		{"GET", "/api/v1/namespaces", "", Info{IsResource: true, Verb: "list", Version: "v1", Resource: "namespaces"}},
		{"GET", "/api/v1/namespaces/a", "", Info{IsResource: true, Verb: "get", Version: "v1", Resource: "namespaces", Namespace: "a", Name: "a"}},
		{"PUT", "/api/v1/namespaces/a/finalize", "", Info{IsResource: true, Verb: "update", Version: "v1", Resource: "namespaces", Namespace: "a", Name: "a", Subresource: "finalize"}},
		{"PUT", "/api/v1/namespaces/a/status", "", Info{IsResource: true, Verb: "update", Version: "v1", Resource: "namespaces", Namespace: "a", Name: "a", Subresource: "status"}},
		{"DELETE", "/api/v1/namespaces/a/pods", "", Info{IsResource: true, Verb: "deletecollection", Version: "v1", Namespace: "a", Resource: "pods"}},
		{"DELETE", "/api/v1/namespaces/a/pods/b", "", Info{IsResource: true, Verb: "delete", Version: "v1", Namespace: "a", Resource: "pods", Name: "b"}},
		{"POST", "/api/v1/namespaces/a/pods/b/exec", "command=ls", Info{IsResource: true, Verb: "create", Version: "v1", Namespace: "a", Resource: "pods", Name: "b", Subresource: "exec"}},
		{"GET", "/api/v1/namespaces/a/services/b:80/proxy/x/y", "", Info{IsResource: true, Verb: "get", Version: "v1", Namespace: "a", Resource: "services", Name: "b:80", Subresource: "proxy", Rest: "/x/y"}},
		{"GET", "/api/v1/namespaces/a/services/b/proxy/", "", Info{IsResource: true, Verb: "get", Version: "v1", Namespace: "a", Resource: "services", Name: "b", Subresource: "proxy", Rest: "/"}},
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "", Info{IsResource: true, Verb: "patch", Group: "apps", Version: "v1", Namespace: "a", Resource: "deployments", Name: "d", Subresource: "scale"}},
		{"GET", "/api/v1/pods", "fieldSelector=metadata.name%3Dx", Info{IsResource: true, Verb: "list", Version: "v1", Resource: "pods", Name: "x", NameFromSelector: true}},
		{"GET", "/apis/apps/v1/deployments/x", "", Info{IsResource: true, Verb: "get", Group: "apps", Version: "v1", Resource: "deployments", Name: "x"}},
	}
	for _, c := range cases {
		got, err := Parse(c.method, c.path, c.query)
		if err != nil {
			t.Errorf("%s %s?%s: %v", c.method, c.path, c.query, err)
		}
		got.Fields, got.Labels = nil, nil
		c.want.Path = c.path
		if !equal(got, c.want) {
			t.Errorf("%s %s?%s:\n got %+v\nwant %+v", c.method, c.path, c.query, got, c.want)
		}
	}
}

func equal(a, b Info) bool {
	return a.Path == b.Path && a.Verb == b.Verb && a.IsResource == b.IsResource && a.Group == b.Group &&
		a.Version == b.Version && a.Namespace == b.Namespace && a.Resource == b.Resource && a.Name == b.Name &&
		a.Subresource == b.Subresource && a.Rest == b.Rest && a.NameFromSelector == b.NameFromSelector && a.LegacyWatch == b.LegacyWatch
}

// The key prefixes are fixed: no part of a path may lead out of its place
// (CVE-2022-3162).
func TestParseRefusesEscapes(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"/api/v1/namespaces/../pods",
		"/api/v1/namespaces/../pods/x",
		"/api/v1/namespaces/a/pods/..",
		"/api/v1/namespaces/./pods",
		"/api/v1/namespaces/a%2fb/pods",
		"/api/v1/nodes/..",
		"/api/v1/nodes/x/..",
	} {
		if info, err := Parse("GET", p, ""); err == nil {
			t.Errorf("%s was accepted: %+v", p, info)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("GET", "/api/v1/namespaces/a/pods/b/exec/x", "watch=1&fieldSelector=a%3Db")
	f.Add("DELETE", "/apis/apps/v1/deployments", "labelSelector=a in (b,c)")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		info, err := Parse(method, path, query)
		if err != nil {
			return
		}
		if info.IsResource && (info.Resource == "" || info.Namespace == ".." || info.Name == "..") {
			t.Fatalf("%+v", info)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("GET", "/api/v1/namespaces/default/pods/web-1", ""); err != nil {
			b.Fatal(err)
		}
	}
}
