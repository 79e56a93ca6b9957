package apiregistration

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func whole() *APIService {
	return &APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1.example.com", Labels: map[string]string{"a": "b"}},
		Spec: APIServiceSpec{
			Service: &ServiceReference{Namespace: "n", Name: "s", Port: ptr.To[int32](8443)},
			Group:   "example.com", Version: "v1", InsecureSkipTLSVerify: true, CABundle: []byte("pem"),
			GroupPriorityMinimum: 2000, VersionPriority: 15,
		},
		Status: APIServiceStatus{Conditions: []APIServiceCondition{{
			Type: Available, Status: metav1.ConditionTrue, LastTransitionTime: metav1.Unix(1e9, 0), Reason: "Passed", Message: "it answers",
		}, {Type: "Other"}}},
	}
}

func TestProtobuf(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]*APIService{"whole": whole(), "empty": {}, "local": {Spec: APIServiceSpec{Group: "apps", Version: "v1", VersionPriority: -1}}} {
		data := make([]byte, in.Size())
		if n, err := in.MarshalToSizedBuffer(data); n != len(data) || err != nil {
			t.Fatalf("%s: %d of %d bytes, %v", name, n, len(data), err)
		}
		var out APIService
		if err := out.Unmarshal(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(in, &out, cmp.Comparer(func(a, b metav1.Time) bool { return a.Time.Equal(b.Time) })); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	list := &APIServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}, Items: []APIService{*whole(), {}}}
	data := make([]byte, list.Size()+5)
	if n, err := list.MarshalTo(data); n != list.Size() || err != nil {
		t.Fatal(n, err)
	}
	out := APIServiceList{Items: []APIService{{}}}
	out.Reset()
	if err := out.Unmarshal(data[:list.Size()]); err != nil || out.ResourceVersion != "7" || len(out.Items) != 2 || out.Items[0].Spec.Group != "example.com" {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestProtobufForm: the very bytes, by the numbers that upstream gives the fields.
func TestProtobufForm(t *testing.T) {
	t.Parallel()
	got, err := (&APIServiceSpec{Service: &ServiceReference{Name: "s", Port: ptr.To[int32](1)}, Group: "g", CABundle: []byte("c"), VersionPriority: 3}).Marshal()
	want := []byte("\x0a\x07\x0a\x00\x12\x01s\x18\x01" + "\x12\x01g" + "\x1a\x00" + "\x20\x00" + "\x2a\x01c" + "\x38\x00" + "\x40\x03")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, want %q (%v)", got, want, err)
	}
}

func FuzzProtobuf(f *testing.F) {
	data, err := whole().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("\x0a\xff\xff\xff\xff\x0f"))
	f.Add([]byte("\x12\x03\x0a\x01\x1b\x99\x01\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s APIService
		if s.Unmarshal(data) != nil {
			return
		}
		if _, err := s.Marshal(); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
