package cache_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"proa/cache"
)

// TestProtobufIsTheObject compares the spliced message with what encoding the
// object gives, byte for byte.
func TestProtobufIsTheObject(t *testing.T) {
	t.Parallel()
	pods := start(t, newMemory(t), cache.Options{}).Cache(podDef())
	check := func(p *corev1.Pod) {
		t.Helper()
		e := create(t, pods, p)
		want, err := e.Object.(*corev1.Pod).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Protobuf([]byte("before"))
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("%s: %x, %v; want %x", p.Name, got, err, want)
		}
	}
	check(fullPod(1))
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		p := fullPod(n + 1)
		p.GenerateName = rapid.StringN(0, 300, 300).Draw(r, "generateName")
		p.UID = ""
		p.Annotations = map[string]string{"a": rapid.StringN(0, 20000, 20000).Draw(r, "annotation")}
		if rapid.Bool().Draw(r, "empty") {
			p.Spec, p.Status = corev1.PodSpec{}, corev1.PodStatus{}
		}
		check(p)
	})
}

// TestProtobufOfOtherForms: what is not stored as protobuf cannot be spliced,
// and the caller encodes it.
func TestProtobufOfOtherForms(t *testing.T) {
	t.Parallel()
	s := newMemory(t)
	pods := start(t, s, cache.Options{}).Cache(podDef())
	ctx := t.Context()
	if _, err := s.Create(ctx, "/registry/pods/ns/json", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"ns","name":"json"}}`), 0); err != nil {
		t.Fatal(err)
	}
	e, _, err := pods.Get(ctx, "ns", "json", cache.Latest, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := e.Protobuf(nil); err == nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := (&cache.Entry{}).Protobuf(nil); err == nil {
		t.Error("an entry of no cache was encoded")
	}
}
