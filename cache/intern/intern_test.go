package intern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"math/rand"
)

// TestNothingChanges interns random objects and requires that they, and what
// they were made of, stay equal to a deep copy, in both their wire forms.
func TestNothingChanges(t *testing.T) {
	t.Parallel()
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	fuzz := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), codecs)
	pool := New(200) // small, so that parts come and go
	for i := range 300 {
		for _, obj := range []runtime.Object{&corev1.Pod{}, &appsv1.Deployment{}, &batchv1.CronJob{}, &corev1.Node{}, &corev1.Secret{}, &corev1.Service{}} {
			if i%3 > 0 {
				fuzz.Fill(obj)
			}
			want := obj.DeepCopyObject()
			owned := shallow(obj)
			pool.Object(owned)
			if !equality.Semantic.DeepEqual(owned, want) || !equality.Semantic.DeepEqual(obj, want) {
				t.Fatalf("%T changed", obj)
			}
			type message interface{ Marshal() ([]byte, error) }
			a, err1 := owned.(message).Marshal()
			b, err2 := want.(message).Marshal()
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Fatalf("%T is encoded differently", obj)
			}
		}
	}
}

func shallow(obj runtime.Object) runtime.Object {
	v := reflect.ValueOf(obj).Elem()
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	return c.Interface().(runtime.Object)
}

func TestEqualPartsAreShared(t *testing.T) {
	t.Parallel()
	pool := New(1000)
	var pods [2]*corev1.Pod
	for i := range pods {
		text := fmt.Sprintf(`{"metadata":{"name":"p%d","labels":{"app":"web"},"managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}]},
			"spec":{"containers":[{"name":"c","image":"i:1","resources":{"limits":{"cpu":"100m"}},"livenessProbe":{"httpGet":{"path":"/","port":80}}}],
			"tolerations":[{"key":"a"},{"key":"b"}]}}`, i)
		if err := json.Unmarshal([]byte(text), &pods[i]); err != nil {
			t.Fatal(err)
		}
		pool.Object(pods[i])
	}
	a, b := pods[0], pods[1]
	if unsafe.SliceData(a.Spec.Containers) != unsafe.SliceData(b.Spec.Containers) {
		t.Error("containers are not shared")
	}
	if unsafe.SliceData(a.Spec.Tolerations) != unsafe.SliceData(b.Spec.Tolerations) || cap(a.Spec.Tolerations) != 2 {
		t.Error("tolerations are not shared, or have room to spare")
	}
	if reflect.ValueOf(a.Labels).UnsafePointer() != reflect.ValueOf(b.Labels).UnsafePointer() {
		t.Error("labels are not shared")
	}
	if a.ManagedFields[0].FieldsV1 != b.ManagedFields[0].FieldsV1 {
		t.Error("managed fields are not shared")
	}
	if a.Name == b.Name {
		t.Error("too much is shared")
	}
}

func TestQuantitiesKeepTheirForm(t *testing.T) {
	t.Parallel()
	pool := New(1000)
	for _, text := range []string{"1", "1000m", "1Gi", "1073741824", "1e3", "0.5", "123456789012345678901234567890"} {
		o := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"cpu": resource.MustParse(text)}}}
		want := o.DeepCopy()
		pool.Object(o)
		got, exp := o.Spec.Hard["cpu"], want.Spec.Hard["cpu"]
		if got.String() != exp.String() || got.Format != exp.Format {
			t.Errorf("%s became %s", exp.String(), got.String())
		}
	}
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	pool := New(100)
	for i := range 10000 {
		pool.Object(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i), Labels: map[string]string{"a": fmt.Sprint(i)}}})
	}
	if n := len(pool.strings.young) + len(pool.strings.old); n > 100 {
		t.Errorf("%d strings", n)
	}
	if n := len(pool.parts.young) + len(pool.parts.old); n > 100 {
		t.Errorf("%d parts", n)
	}
}

func TestForeignTypesAreLeftAlone(t *testing.T) {
	t.Parallel()
	type mine struct{ A []string }
	m := &mine{A: make([]string, 1, 8)}
	New(10).Object(m)
	New(10).Object((*corev1.Pod)(nil))
	New(10).Object(3)
	if cap(m.A) != 8 {
		t.Error("a foreign type was walked")
	}
}
