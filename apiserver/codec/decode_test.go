package codec

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var podKind = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

func known(gvk schema.GroupVersionKind) bool {
	return gvk == schema.GroupVersionKind{Version: "v1", Kind: "Service"} || gvk == podKind ||
		gvk == schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1", Kind: "Pod"}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "*" + string(c-1) + "]\n"
	}
	cases := []struct {
		name string
		f    Format
		body string
		v    Validation
		warn string
		err  string
	}{
		{"plain", JSON, `{"metadata":{"name":"a"}}`, Warn, "", ""},
		{"unknown warns", JSON, `{"spec":{"foo":1}}`, Warn, `unknown field "spec.foo"`, ""},
		{"unknown ignored", JSON, `{"spec":{"foo":1}}`, Ignore, "", ""},
		{"unknown strict", JSON, `{"kind":"Pod","apiVersion":"v1","spec":{"foo":1}}`, Strict, "", `Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo"`},
		{"duplicate", JSON, `{"metadata":{"name":"a","name":"b"}}`, Warn, `duplicate field "metadata.name"`, ""},
		{"type", JSON, `{"kind":"Pod","apiVersion":"v1","spec":{"containers":"x"}}`, Warn, "", `Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`},
		{"other kind", JSON, `{"kind":"Service","apiVersion":"v1"}`, Warn, "", `Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (v1.Pod): unknown conversion`},
		{"unknown kind", JSON, `{"kind":"Foo","apiVersion":"v1"}`, Warn, "", `Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"`},
		{"unknown version", JSON, `{"kind":"Pod","apiVersion":"v9"}`, Warn, "", `Pod in version "v9" cannot be handled as a Pod: no kind "Pod" is registered for version "v9" in scheme`},
		{"other version", JSON, `{"kind":"Pod","apiVersion":"metrics.k8s.io/v1"}`, Warn, "", `the API version in the data (metrics.k8s.io/v1) does not match the expected API version (v1)`},
		{"syntax", JSON, `{"a"`, Warn, "", `the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input ({"a")`},
		{"empty", JSON, ``, Warn, "", `the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)`},
		{"deep", JSON, deep, Warn, "", `exceeded max depth`},
		{"yaml", YAML, "metadata:\n  name: a\n", Strict, "", ""},
		{"yaml unknown", YAML, "spec:\n  foo: 1\n", Warn, `unknown field "spec.foo"`, ""},
		{"yaml duplicate", YAML, "metadata:\n  name: a\n  name: b\n", Warn, `line 3: key "name" already set in map`, ""},
		{"yaml deep", YAML, strings.Repeat("[", 20000), Warn, "", "exceeded max depth"},
		{"yaml deep dashes", YAML, strings.Repeat("- ", 20000), Warn, "", "exceeded max depth"},
		{"alias bomb", YAML, bomb, Warn, "", "excessive aliasing"},
		{"protobuf without prefix", Protobuf, "{}", Warn, "", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"},
		{"protobuf truncated", Protobuf, "k8s\x00\x0a\x20", Warn, "", "unexpected EOF"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			warn, err := Decode(c.f, []byte(c.body), &corev1.Pod{}, podKind, c.v, known)
			if got := strings.Join(warn, "|"); got != c.warn {
				t.Errorf("warnings %q, want %q", got, c.warn)
			}
			if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %s", err, c.err)
			}
			if err != nil && !apierrors.IsBadRequest(err) {
				t.Errorf("%v is not a bad request", err)
			}
		})
	}
}

func TestMessageRoundTrip(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"x": "y"}}}
	b, err := AppendMessage([]byte("before"), pod, podKind)
	if err != nil {
		t.Fatal(err)
	}
	var got corev1.Pod
	if _, err := Decode(Protobuf, b[len("before"):], &got, podKind, Strict, known); err != nil {
		t.Fatal(err)
	}
	if got.String() != pod.String() || got.Kind != "Pod" {
		t.Errorf("%+v", got)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"containers":[{"name":"x"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) { Decode(JSON, b, &corev1.Pod{}, podKind, Warn, known) })
}

func FuzzDecodeYAML(f *testing.F) {
	f.Add([]byte("kind: Pod\nmetadata: {name: &a b, namespace: *a}\n"))
	f.Fuzz(func(t *testing.T, b []byte) { Decode(YAML, b, &corev1.Pod{}, podKind, Strict, known) })
}

func FuzzDecodeProtobuf(f *testing.F) {
	b, _ := AppendMessage(nil, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, podKind)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) { Decode(Protobuf, b, &corev1.Pod{}, podKind, Strict, known) })
}
