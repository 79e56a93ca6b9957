package patch

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

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

func pod() *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "1"}, {Name: "b", Image: "1"}}},
		Status:     corev1.PodStatus{Phase: "Pending", Conditions: []corev1.PodCondition{{Type: "Ready", Status: "False"}}},
	}
}

type patcher func(runtime.Object, []byte, codec.Validation) (runtime.Object, []string, error)

func TestObjects(t *testing.T) {
	t.Parallel()
	whole := func(p *corev1.Pod) *corev1.Pod { return p }
	cases := []struct {
		name, patch string
		by          patcher
		want        func(p *corev1.Pod) *corev1.Pod
		warning     string
		code        int
	}{
		{"merge a label", `{"metadata":{"labels":{"a":null,"c":"d"}}}`, MergeObject, func(p *corev1.Pod) *corev1.Pod {
			p.Labels = map[string]string{"c": "d"}
			return p
		}, "", 0},
		{"merge a list", `{"spec":{"containers":[{"name":"x"}]}}`, MergeObject, func(p *corev1.Pod) *corev1.Pod {
			p.Spec.Containers = []corev1.Container{{Name: "x"}}
			return p
		}, "", 0},
		{"merge nothing", `{}`, MergeObject, whole, "", 0},
		{"merge the unknown", `{"foo":1,"status":{"bar":1}}`, MergeObject, whole, `unknown field "foo"|unknown field "status.bar"`, 0},
		{"merge managed fields away", `{"metadata":{"managedFields":[{}]}}`, MergeObject, func(p *corev1.Pod) *corev1.Pod {
			p.ManagedFields = []metav1.ManagedFieldsEntry{{}}
			return p
		}, "", 0},
		{"merge the status away", `{"status":null}`, MergeObject, func(p *corev1.Pod) *corev1.Pod {
			p.Status = corev1.PodStatus{}
			return p
		}, "", 0},
		{"merge an array", `[1]`, MergeObject, nil, "", 400},
		{"merge a wrong type", `{"spec":1}`, MergeObject, nil, "", 422},
		{"JSON label", `[{"op":"test","path":"/kind","value":"Pod"},{"op":"add","path":"/metadata/labels/c","value":"d"}]`, JSONObject, func(p *corev1.Pod) *corev1.Pod {
			p.Labels["c"] = "d"
			return p
		}, "", 0},
		{"JSON move between parts", `[{"op":"move","from":"/metadata/labels/a","path":"/status/message"}]`, JSONObject, func(p *corev1.Pod) *corev1.Pod {
			delete(p.Labels, "a")
			p.Status.Message = "b"
			return p
		}, "", 0},
		{"JSON managed fields", `[{"op":"remove","path":"/metadata/managedFields"}]`, JSONObject, func(p *corev1.Pod) *corev1.Pod {
			p.ManagedFields = nil
			return p
		}, "", 0},
		{"JSON failing test", `[{"op":"test","path":"/status/phase","value":"Running"}]`, JSONObject, nil, "", 422},
		{"JSON whole", `[{"op":"remove","path":""}]`, JSONObject, nil, "", 422},
		{"strategic item", `{"spec":{"containers":[{"name":"b","image":"2"}]}}`, Strategic, func(p *corev1.Pod) *corev1.Pod {
			p.Spec.Containers[1].Image = "2"
			return p
		}, "", 0},
		{"strategic condition", `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, Strategic, func(p *corev1.Pod) *corev1.Pod {
			p.Status.Conditions[0].Status = "True"
			return p
		}, "", 0},
		{"strategic deletion", `{"spec":{"containers":[{"name":"a","$patch":"delete"}]}}`, Strategic, func(p *corev1.Pod) *corev1.Pod {
			p.Spec.Containers = p.Spec.Containers[1:]
			return p
		}, "", 0},
		{"strategic unknown", `{"spec":{"foo":1}}`, Strategic, whole, `unknown field "spec.foo"`, 0},
		{"strategic label", `{"metadata":{"labels":{"c":"d"}}}`, Strategic, func(p *corev1.Pod) *corev1.Pod {
			p.Labels["c"] = "d"
			return p
		}, "", 0},
		{"strategic metadata of no object", `{"metadata":1}`, Strategic, nil, "", 422},
		{"strategic syntax", `nonsense`, Strategic, nil, "", 400},
		{"strategic type", `{"spec":{"containers":"x"}}`, Strategic, nil, "", 422},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := pod()
			got, warnings, err := c.by(before, []byte(c.patch), codec.Warn)
			check(t, c.name, err, c.code, "")
			if !reflect.DeepEqual(before, pod()) {
				t.Error("the object was changed")
			}
			if w := strings.Join(warnings, "|"); w != c.warning {
				t.Errorf("warnings %q, want %q", w, c.warning)
			}
			if c.want != nil && !equality.Semantic.DeepEqual(got, runtime.Object(c.want(pod()))) {
				t.Errorf("%+v", got)
			}
		})
	}
	_, _, err := Strategic(pod(), []byte(`{"spec":{"foo":1}}`), codec.Strict)
	check(t, "strict", err, 422, `unknown field "spec.foo"`)
	_, _, err = MergeObject(pod(), []byte(`{"spec":{"foo":1}}`), codec.Strict)
	check(t, "strict", err, 422, `unknown field "spec.foo"`)
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
	f.Add([]byte(`{"metadata":{"labels":null},"spec":{"x":null}}`))
	f.Fuzz(func(t *testing.T, p []byte) { MergeObject(pod(), p, codec.Strict) })
}

func FuzzStrategic(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","$patch":"delete"}],"$setElementOrder/containers":[{"name":"a"}]}}`))
	f.Fuzz(func(t *testing.T, p []byte) { Strategic(pod(), p, codec.Warn) })
}
