package codec

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"proa/resource"
)

func eventDef() *resource.Definition {
	return resource.Row[*corev1.Event]{
		Storage: corev1.SchemeGroupVersion, Kind: "Event", Plural: "events",
		New:          func() *corev1.Event { return &corev1.Event{} },
		NewList:      func() runtime.Object { return &corev1.EventList{} },
		ValidateName: func(string, bool) []string { return nil },
		Default: func(e *corev1.Event) {
			if e.Type == "" {
				e.Type = "Normal"
			}
		},
		Also: []resource.Version[*corev1.Event]{{
			GroupVersion: eventsv1.SchemeGroupVersion,
			New:          func() resource.Object { return &eventsv1.Event{} },
			NewList:      func() runtime.Object { return &eventsv1.EventList{} },
			To: func(e *corev1.Event) (resource.Object, error) {
				return &eventsv1.Event{ObjectMeta: e.ObjectMeta, Note: e.Message}, nil
			},
			From: func(o resource.Object) (*corev1.Event, error) {
				e := o.(*eventsv1.Event)
				return &corev1.Event{ObjectMeta: e.ObjectMeta, Message: e.Note}, nil
			},
		}},
	}.Define()
}

func event() *corev1.Event {
	return &corev1.Event{
		TypeMeta:   metav1.TypeMeta{Kind: "Nonsense"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "e", ResourceVersion: "12", SelfLink: "/x", Labels: map[string]string{"a": "b"}},
		Message:    "hello", Type: "Warning",
	}
}

// TestEncodeAsUpstream compares with apimachinery's serializer, which is what
// upstream's server stores with.
func TestEncodeAsUpstream(t *testing.T) {
	t.Parallel()
	obj := event()
	got, err := Storage{}.Encode(eventDef(), obj)
	if err != nil {
		t.Fatal(err)
	}
	clean := obj.DeepCopy()
	clean.ResourceVersion, clean.SelfLink = "", ""
	clean.TypeMeta = metav1.TypeMeta{Kind: "Event", APIVersion: "v1"}
	var want bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(clean, &want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%x\nwant\n%x", got, want.Bytes())
	}
	if obj.ResourceVersion != "12" || obj.Kind != "Nonsense" {
		t.Error("the object was changed")
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	def := eventDef()
	stored, err := Storage{}.Encode(def, event())
	if err != nil {
		t.Fatal(err)
	}
	var other bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(&eventsv1.Event{
		TypeMeta:   metav1.TypeMeta{Kind: "Event", APIVersion: "events.k8s.io/v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "e"}, Note: "hello",
	}, &other); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, data, kind string
		fail             bool
	}{
		{"protobuf", string(stored), "Warning", false},
		{"JSON, completed", ` {"kind":"Event","apiVersion":"v1","metadata":{"name":"e"},"message":"hello"}`, "Normal", false},
		{"another version", other.String(), "", false},
		{"JSON of another version", `{"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{"name":"e"},"note":"hello"}`, "", false},
		{"another kind", `{"kind":"Pod","apiVersion":"v1"}`, "", true},
		{"another group", `{"kind":"Event","apiVersion":"x/v1"}`, "", true},
		{"no group", `{"kind":"Event","apiVersion":"a/b/c"}`, "", true},
		{"empty", "", "", true},
		{"magic alone", "k8s\x00", "", true},
		{"cut off", string(stored[:len(stored)/2]), "", true},
		{"encrypted", "k8s:enc:aescbc:v1:key:abc", "", true},
		{"wrong JSON", `{"kind":"Event","apiVersion":"v1","message":3}`, "", true},
	} {
		obj, err := Storage{}.Decode(def, []byte(c.data))
		if c.fail {
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, %v", c.name, obj, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		e := obj.(*corev1.Event)
		if e.Message != "hello" || e.Name != "e" || e.Type != c.kind || e.Kind != "" || e.APIVersion != "" {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	obj := event()
	c := Storage{}.Share(eventDef(), obj, nil).(*corev1.Event)
	c.SetResourceVersion("13")
	if obj.ResourceVersion != "12" || obj.Kind != "Nonsense" || c.Kind != "" || c.Labels["a"] != "b" {
		t.Error(obj, c)
	}
	obj.Labels["a"] = "c"
	if c.Labels["a"] != "c" {
		t.Error("labels were copied")
	}
}

func FuzzDecode(f *testing.F) {
	def := eventDef()
	stored, err := Storage{}.Encode(def, event())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Add([]byte(`{"kind":"Event","apiVersion":"v1","metadata":{"name":"e"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		obj, err := Storage{}.Decode(def, data)
		if err != nil {
			return
		}
		again, err := Storage{}.Encode(def, obj)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := (Storage{}).Decode(def, again); err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
	})
}
