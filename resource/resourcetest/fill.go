package resourcetest

import (
	"math/rand"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
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
			func(s *string, c randfill.Continue) {
				if *s = c.String(0); c.Intn(4) > 0 {
					*s = words[c.Intn(len(words))]
				}
			},
			// Bytes that no codec has to understand.
			func(r *runtime.RawExtension, _ randfill.Continue) {
				r.Raw = []byte(`{"apiVersion":"v1","kind":"Something"}`)
			},
			func(j *apiextensionsv1.JSON, _ randfill.Continue) { j.Raw = []byte(`{"a":[1,"b"]}`) },
			func(s *apiextensionsv1.JSONSchemaProps, c randfill.Continue) { fillSchema(s, c, 3) },
		}
	})
	codecs := serializer.NewCodecFactory(scheme.Scheme)
	return &Filler{fuzzer.FuzzerFor(funcs, rand.NewSource(seed), codecs).NilChance(0.4).NumElements(0, 3).MaxDepth(40)}
}

// words are what most texts are filled with, so that the values that hooks look
// for occur and names meet their references now and then.
var words = []string{
	"", "a", "b", "Name", "x.y/z", "a_b", "..", "../x", "/a/b", "\x00", "ünï", "999", "v1", "25%", "101%", "@daily", "TZ=UTC", "1-3,5",
	"cpu", "memory", "storage", "hugepages-2Mi", "hugepages-x", "example.com/gpu", "metadata.labels['a']",
	"10.0.0.1", "010.0.0.1", "::1", "10.0.0.0/8", "IPv4", "IPv6", "TCP", "None", "ClusterIP", "LoadBalancer", "ExternalName", "NodePort",
	"Always", "Never", "OnFailure", "Terminating", "True", "False", "Complete", "Failed", "Suspended", "Indexed", "Approved", "Denied",
	"RollingUpdate", "Recreate", "OnDelete", "Resource", "Pods", "Object", "User", "ServiceAccount",
	"kubernetes.io/service-account-token", "autoscaling.alpha.kubernetes.io/metrics", "controller-uid",
}

// fillSchema fills a schema to a depth: schemas contain schemas in a dozen
// ways, and would have no end.
func fillSchema(s *apiextensionsv1.JSONSchemaProps, c randfill.Continue, depth int) {
	c.Fill(&s.Description)
	c.Fill(&s.Format)
	c.Fill(&s.Required)
	c.Fill(&s.Maximum)
	c.Fill(&s.XValidations)
	c.Fill(&s.Default)
	s.Type = []string{"object", "array", "string", "integer", "x", ""}[c.Intn(6)]
	s.XPreserveUnknownFields = []*bool{nil, new(bool)}[c.Intn(2)]
	if depth == 0 {
		return
	}
	inner := func() (in apiextensionsv1.JSONSchemaProps) { fillSchema(&in, c, depth-1); return in }
	switch in := inner(); c.Intn(5) {
	case 0:
		s.Properties = map[string]apiextensionsv1.JSONSchemaProps{"a": in, "metadata": inner()}
	case 1:
		s.Items = &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &in}
	case 2:
		s.AdditionalProperties = &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: &in}
	case 3:
		s.AllOf = []apiextensionsv1.JSONSchemaProps{in}
	}
}

// Object makes one object of a row, in the storage version.
func (f *Filler) Object(d *resource.Definition) resource.Object {
	o := d.New()
	f.fill.Fill(o)
	o.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
	return o
}
