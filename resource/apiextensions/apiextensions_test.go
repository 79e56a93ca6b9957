package apiextensions_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"proa/cache/codec"
	"proa/resource/apiextensions"
	rt "proa/resource/resourcetest"
)

// TestUpstreamsForm: what upstream's server has stored, in a version that it
// does not serve, is read.
func TestUpstreamsForm(t *testing.T) {
	t.Parallel()
	const stored = `{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1","metadata":{"name":"xs.z.com"},` +
		`"spec":{"group":"z.com","version":"v1","names":{"plural":"xs","singular":"x","kind":"X","listKind":"XList"},"scope":"Namespaced",` +
		`"validation":{"openAPIV3Schema":{"type":"object","properties":{"a":{"type":"string"}}}},"subresources":{"status":{}},` +
		`"versions":[{"name":"v1","served":true,"storage":true}],"conversion":{"strategy":"None"},"preserveUnknownFields":false},` +
		`"status":{"conditions":null,"acceptedNames":{"plural":"","kind":""},"storedVersions":["v1"]}}`
	obj, err := codec.Storage{}.Decode(apiextensions.CustomResourceDefinition(), []byte(stored))
	if err != nil {
		t.Fatal(err)
	}
	d := obj.(*apiextensionsv1.CustomResourceDefinition)
	v := d.Spec.Versions[0]
	if v.Schema == nil || v.Schema.OpenAPIV3Schema.Properties["a"].Type != "string" || v.Subresources == nil || v.Subresources.Status == nil {
		t.Errorf("%+v", v)
	}
	again, err := codec.Storage{}.Encode(apiextensions.CustomResourceDefinition(), d)
	if err != nil || again[0] != '{' {
		t.Errorf("%s %v", again, err)
	}
}

func TestEmptyWebhook(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: boats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: boats, kind: Boat}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
  conversion: {strategy: None, webhook: {conversionReviewVersions: []}}
`
	d := rt.Object(t, apiextensions.CustomResourceDefinition(), base, "").(*apiextensionsv1.CustomResourceDefinition)
	if d.Spec.Conversion.Webhook != nil {
		t.Errorf("%+v", d.Spec.Conversion)
	}
}

func TestTwoStorageVersions(t *testing.T) {
	t.Parallel()
	const base = `
metadata: {name: boats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, listKind: BoatList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`
	rt.Verdicts(t, apiextensions.CustomResourceDefinition(), base,
		rt.Verdict{Name: "one"},
		rt.Verdict{Name: "two", Patch: `
spec:
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  - {name: v2, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`, Want: []string{
			`spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null},{"Name":"v2","Served":true,"Storage":true,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version`,
			`status.storedVersions: Invalid value: ["v1"]: must have the storage version v2`,
		}},
	)
}
