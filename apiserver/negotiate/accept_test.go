package negotiate

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"proa/apiserver/codec"
)

func TestAccept(t *testing.T) {
	t.Parallel()
	all := Allowed{Table: true, Partial: true}
	const kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
	cases := []struct {
		accept  string
		allowed Allowed
		want    Output
		code    int
	}{
		{"", all, Output{}, 0},
		{"*/*", all, Output{}, 0},
		{"application/*", all, Output{}, 0},
		{"application/yaml", all, Output{Format: codec.YAML}, 0},
		{"application/json;pretty=1", all, Output{Pretty: true}, 0},
		{"application/json;q=0.5, application/yaml", all, Output{Format: codec.YAML}, 0},
		{"text/html, application/json", all, Output{}, 0},
		{"text/html", all, Output{}, 406},
		{"application/vnd.kubernetes.protobuf;stream=watch", all, Output{Format: codec.Protobuf, Stream: true}, 0},
		{"application/json;stream=other", all, Output{}, 406},
		{kubectl, all, Output{As: Table, Version: "v1"}, 0},
		{kubectl, Allowed{}, Output{}, 0},
		{"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", all, Output{}, 0},
		{"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json", all, Output{Format: codec.Protobuf, As: PartialList, Version: "v1"}, 0},
		{"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", all, Output{As: Partial, Version: "v1"}, 0},
		{"application/json;as=Nothing;v=v1;g=meta.k8s.io", all, Output{}, 406},
		{"application/vnd.kubernetes.protobuf", Allowed{JSONOnly: true}, Output{}, 406},
	}
	for _, c := range cases {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", c.accept)
		got, err := Accept(r, c.allowed)
		if code := codeOf(err); code != c.code {
			t.Errorf("%q: code %d, want %d", c.accept, code, c.code)
		}
		if got != c.want {
			t.Errorf("%q: %+v, want %+v", c.accept, got, c.want)
		}
	}
}

func TestPretty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, agent string
		want       bool
	}{
		{"/", "kubectl/1", false}, {"/", "curl/8", true}, {"/?pretty=false", "curl/8", false}, {"/?pretty=true", "x", true},
	} {
		r := httptest.NewRequest("GET", c.url, nil)
		r.Header.Set("User-Agent", c.agent)
		if out, err := Accept(r, Allowed{}); err != nil || out.Pretty != c.want {
			t.Errorf("%s %s: pretty %v, %v", c.url, c.agent, out.Pretty, err)
		}
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		contentType string
		want        codec.Format
		code        int
	}{
		{"", codec.JSON, 0}, {"application/json; charset=utf-8", codec.JSON, 0}, {"application/yaml", codec.YAML, 0},
		{"application/vnd.kubernetes.protobuf", codec.Protobuf, 0}, {"text/plain", 0, 415}, {";;", 0, 415},
	} {
		r := httptest.NewRequest("POST", "/", http.NoBody)
		r.Header.Set("Content-Type", c.contentType)
		got, err := Body(r, Allowed{})
		if got != c.want || codeOf(err) != c.code {
			t.Errorf("%q: %v, %v", c.contentType, got, err)
		}
	}
}

func codeOf(err error) int {
	if e, ok := err.(*StatusError); ok {
		return int(e.ErrStatus.Code)
	}
	return 0
}

func FuzzAccept(f *testing.F) {
	f.Add("application/json;as=Table;v=v1;g=meta.k8s.io;q=0.1, */*")
	f.Fuzz(func(t *testing.T, header string) {
		accept(header, Allowed{Table: true, Partial: true})
	})
}
