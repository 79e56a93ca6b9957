package patch

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/apiserver/codec"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"metadata":{"name":"a"},"data":{"k":"v"}}`)
	// Upstream does not say what was wrong with the operation.
	const rejected = "the server rejected our request due to an error in our request"
	long := "[" + strings.TrimSuffix(strings.Repeat(`{"op":"add","path":"/data/k","value":"v"},`, MaxOperations+1), ",") + "]"
	var doubling strings.Builder
	doubling.WriteString(`[{"op":"add","path":"/a","value":["` + strings.Repeat("x", 1000) + `"]}`)
	for range 25 {
		doubling.WriteString(`,{"op":"copy","from":"/a","path":"/a/-"}`)
	}
	doubling.WriteString("]")
	cases := []struct {
		patch, want string
		code        int
		text        string
	}{
		{`[{"op":"replace","path":"/data/k","value":"w"}]`, `{"data":{"k":"w"},"metadata":{"name":"a"}}`, 0, ""},
		{`[{"op":"test","path":"/data/k","value":"w"}]`, "", 422, rejected},
		{`[{"op":"remove","path":"/x"}]`, "", 422, rejected},
		{`{"op":"remove"}`, "", 400, "error decoding patch"},
		{`[`, "", 400, "error decoding patch"},
		{`[{"op":"nonsense","path":"/x"}]`, "", 422, rejected},
		{`[{"op":"copy"}]`, "", 422, ""},
		{long, "", 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{doubling.String(), "", 422, rejected},
		{`[{"op":"add","path":"/x","value":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}]`, "", 400, "exceeded max depth"},
	}
	for i, c := range cases {
		got, _, err := JSON(doc, []byte(c.patch), codec.Warn)
		check(t, fmt.Sprint(i), err, c.code, c.text)
		if c.want != "" && string(got) != c.want {
			t.Errorf("%d: %s", i, got)
		}
	}
}

func TestJSONStrict(t *testing.T) {
	t.Parallel()
	_, strict, err := JSON([]byte(`{}`), []byte(`[{"op":"add","path":"/x","value":1,"foo":2}]`), codec.Strict)
	if err != nil || len(strict) != 1 || strict[0].Error() != `json patch unknown field "[0].foo"` {
		t.Errorf("%v %v", strict, err)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	got, _, err := Merge([]byte(`{"a":1,"b":{"c":2}}`), []byte(`{"a":null,"b":{"d":3}}`), codec.Warn)
	if err != nil || string(got) != `{"b":{"c":2,"d":3}}` {
		t.Errorf("%s %v", got, err)
	}
	_, _, err = Merge([]byte(`{}`), []byte(`[1]`), codec.Warn)
	check(t, "array", err, 400, "error decoding patch")
}

func TestStrategic(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "1"}, {Name: "b", Image: "1"}}}}
	var out corev1.Pod
	warn, err := Strategic(pod, []byte(`{"spec":{"foo":1,"containers":[{"name":"b","image":"2"}]}}`), &out, codec.Warn)
	if err != nil {
		t.Fatal(err)
	}
	if len(warn) != 1 || warn[0] != `unknown field "spec.foo"` {
		t.Errorf("warnings %q", warn)
	}
	if len(out.Spec.Containers) != 2 || out.Spec.Containers[0].Image+out.Spec.Containers[1].Image != "12" && out.Spec.Containers[0].Image+out.Spec.Containers[1].Image != "21" {
		t.Errorf("%+v", out.Spec.Containers)
	}
	_, err = Strategic(pod, []byte(`{"spec":{"foo":1}}`), &corev1.Pod{}, codec.Strict)
	check(t, "strict", err, 422, `unknown field "spec.foo"`)
	_, err = Strategic(pod, []byte(`nonsense`), &corev1.Pod{}, codec.Warn)
	check(t, "syntax", err, 400, "")
	_, err = Strategic(pod, []byte(`{"spec":{"containers":"x"}}`), &corev1.Pod{}, codec.Warn)
	check(t, "type", err, 422, "")
}

func check(t *testing.T, name string, err error, code int, text string) {
	t.Helper()
	got := 0
	if s, ok := err.(apierrors.APIStatus); ok {
		got = int(s.Status().Code)
	} else if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if got != code || (err != nil && !strings.Contains(err.Error(), text)) {
		t.Errorf("%s: code %d, want %d; %v", name, got, code, err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`[{"op":"move","from":"/a","path":"/b/-"}]`))
	f.Fuzz(func(t *testing.T, p []byte) {
		JSON([]byte(`{"a":{"x":[1,2]},"b":[{"c":null}]}`), p, codec.Warn)
	})
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"a":{"x":null}}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		Merge([]byte(`{"a":{"x":[1,2]},"b":[{"c":null}]}`), p, codec.Strict)
	})
}

func FuzzStrategic(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","$patch":"delete"}],"$setElementOrder/containers":[{"name":"a"}]}}`))
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}}
	f.Fuzz(func(t *testing.T, p []byte) {
		Strategic(pod, p, &corev1.Pod{}, codec.Warn)
	})
}
