package managed

import (
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"proa/resource/core"
)

const someFields = `{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}}}}`

func fuzzPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "u", Labels: map[string]string{"a": "b"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

// FuzzSets: what a client calls field sets is refused, or means the same after
// it has been written.
func FuzzSets(f *testing.F) {
	f.Add([]byte(someFields))
	f.Add([]byte(`{"v:\"a\"":{},"i:5":{},"k:{\"a\":1,\"b\":\"c\"}":{"f:x":{}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s sets
		set, err := s.parse(&metav1.ManagedFieldsEntry{FieldsV1: &metav1.FieldsV1{Raw: raw}})
		if err != nil || !utf8.Valid(raw) { // what is no text is written as text
			return
		}
		out, err := encodeSet(set)
		if err != nil {
			return
		}
		again, err := s.parse(&metav1.ManagedFieldsEntry{FieldsV1: out})
		if err != nil || !again.Equals(set) {
			t.Errorf("%s became %s, %v", raw, out.Raw, err)
		}
	})
}

// FuzzUpdate changes an object whose history, or whose successor's, comes from
// a client.
func FuzzUpdate(f *testing.F) {
	m := match(core.Pod())
	f.Add("m", "Update", "v1", []byte(someFields), true)
	f.Add("m", "Apply", "v2", []byte(`{}`), false)
	f.Fuzz(func(t *testing.T, manager, operation, version string, raw []byte, stored bool) {
		live, obj := fuzzPod(), fuzzPod()
		entries := []metav1.ManagedFieldsEntry{{
			Manager: manager, Operation: metav1.ManagedFieldsOperationType(operation), APIVersion: version,
			FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: raw},
		}}
		if stored {
			live.ManagedFields = entries
		} else {
			obj.ManagedFields = entries
		}
		obj.Labels["a"] = "c"
		before := live.String()
		_ = tracker().Update(m, "", live, obj, "me", metav1.NewTime(time.Unix(1, 0))) // refusing is fine
		if live.String() != before {
			t.Error("the live object was changed")
		}
	})
}

// FuzzApply applies configurations of any shape.
func FuzzApply(f *testing.F) {
	m := match(core.Pod())
	f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: c}}\nspec: {containers: [{name: c, ports: [{containerPort: 80}]}]}"), []byte(someFields), true)
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":null,"tolerations":[{},{}]}}`), []byte(`{}`), false)
	f.Fuzz(func(t *testing.T, config, raw []byte, force bool) {
		tree := map[string]any{}
		if yaml.Unmarshal(config, &tree) != nil {
			return
		}
		live := fuzzPod()
		live.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager: "other", Operation: "Apply", APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: raw},
		}}
		before := live.String()
		_, _ = tracker().Apply(m, "", live, &unstructured.Unstructured{Object: tree}, "me", force) // refusing is fine
		if live.String() != before {
			t.Error("the live object was changed")
		}
	})
}
