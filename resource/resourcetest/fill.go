package resourcetest

import (
	"math/rand"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"

	"proa/resource"
)

// Filler makes objects with random content. The same seed makes the same ones.
type Filler struct {
	fill *randfill.Filler
}

// NewFiller makes a filler.
func NewFiller(seed int64) *Filler {
	funcs := fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, func(serializer.CodecFactory) []any {
		return []any{
			// Bytes that no codec has to understand.
			func(r *runtime.RawExtension, c randfill.Continue) {
				r.Raw = []byte(`{"apiVersion":"v1","kind":"Something"}`)
			},
		}
	})
	codecs := serializer.NewCodecFactory(scheme.Scheme)
	return &Filler{fuzzer.FuzzerFor(funcs, rand.NewSource(seed), codecs).NilChance(0.4).NumElements(0, 3).MaxDepth(40)}
}

// Object makes one object of a row, in the storage version.
func (f *Filler) Object(d *resource.Definition) resource.Object {
	o := d.New()
	f.fill.Fill(o)
	o.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
	return o
}
