package admissionregistration

import (
	"math/rand"
	"testing"

	arv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/json"

	"proa/cache/codec"
	"proa/resource"
)

// TestFormerVersions: what upstream has stored in v1beta1 reads like the same in
// v1, whichever form it is stored in.
func TestFormerVersions(t *testing.T) {
	t.Parallel()
	fuzz := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), serializer.NewCodecFactory(runtime.NewScheme()))
	kinds := map[*resource.Definition]func() resource.Message{
		MutatingAdmissionPolicy():        func() resource.Message { return new(arv1.MutatingAdmissionPolicy) },
		MutatingAdmissionPolicyBinding(): func() resource.Message { return new(arv1.MutatingAdmissionPolicyBinding) },
	}
	for def, fresh := range kinds {
		for range 200 {
			want := fresh()
			fuzz.Fill(want)
			def.Default(want)
			want.GetObjectKind().SetGroupVersionKind(def.Former[0].GroupVersionKind())
			asJSON, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := want.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			gvk := def.Former[0].GroupVersionKind()
			unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}, Raw: raw}
			asProtobuf, err := unknown.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			for form, stored := range map[string][]byte{"JSON": asJSON, "protobuf": append([]byte("k8s\x00"), asProtobuf...)} {
				got, err := codec.Storage{}.Decode(def, stored)
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				got.GetObjectKind().SetGroupVersionKind(gvk)
				if !equality.Semantic.DeepEqual(got, want) {
					t.Fatalf("%s reads as another %s:\n%s", form, def.Kind, asJSON)
				}
			}
		}
	}
}
