package customresource

import (
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource/apiextensions"
)

func definition(group, plural, kind string, short ...string) *crd {
	return &crd{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: group, Names: names{
			Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List", ShortNames: short,
		}},
	}
}

var noon = metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))

// Names go to who comes first. What is free is taken, the rest is told.
func TestNames(t *testing.T) {
	t.Parallel()
	first := decide(definition("example.com", "boats", "Boat", "bo"), nil, nil, noon)
	if !apiextensions.Is(first, apiextensionsv1.NamesAccepted) || !apiextensions.Is(first, apiextensionsv1.Established) {
		t.Fatalf("%+v", first.Status)
	}
	if decide(first, []*crd{first}, nil, noon) != nil {
		t.Error("what is decided is decided again")
	}
	for name, c := range map[string]struct {
		d      *crd
		reason string
		plural string
	}{
		"kind":        {definition("example.com", "ships", "Boat"), "ListKindConflict", "ships"},
		"short name":  {definition("example.com", "ships", "Ship", "bo"), "ShortNamesConflict", "ships"},
		"plural":      {definition("example.com", "bo", "Ship"), "PluralConflict", ""},
		"other group": {definition("example.org", "boats", "Boat", "bo"), "NoConflicts", "boats"},
		"other names": {definition("example.com", "ships", "Ship"), "NoConflicts", "ships"},
	} {
		got := decide(c.d, []*crd{first, c.d}, nil, noon)
		n := apiextensions.Condition(got, apiextensionsv1.NamesAccepted)
		if n.Reason != c.reason || got.Status.AcceptedNames.Plural != c.plural {
			t.Errorf("%s: %s, %+v", name, n.Reason, got.Status.AcceptedNames)
		}
		if apiextensions.Is(got, apiextensionsv1.Established) != (c.reason == "NoConflicts") {
			t.Errorf("%s: established without its names, or not with them", name)
		}
		if len(c.d.Status.Conditions) != 0 {
			t.Errorf("%s: what was given was changed", name)
		}
	}
	// A definition that loses a name stays established.
	first.Spec.Names.ShortNames = []string{"sh"}
	other := decide(definition("example.com", "ships", "Ship", "sh"), nil, nil, noon)
	lost := decide(first, []*crd{first, other}, nil, noon)
	if apiextensions.Is(lost, apiextensionsv1.NamesAccepted) || !apiextensions.Is(lost, apiextensionsv1.Established) || lost.Status.AcceptedNames.ShortNames[0] != "bo" {
		t.Errorf("%+v", lost.Status)
	}
}

// Groups of Kubernetes want to know who has agreed.
func TestApproval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		group, annotation, reason string
		ok                        bool
	}{
		{"k8s.io", "", "MissingAnnotation", false},
		{"x.k8s.io", "https://github.com/kubernetes/kubernetes/pull/1", "ApprovedAnnotation", true},
		{"x.kubernetes.io", "unapproved, a test", "UnapprovedAnnotation", false},
		{"kubernetes.io", "whoever", "InvalidAnnotation", false},
		{"notk8s.io", "", "", false},
	} {
		d := definition(c.group, "boats", "Boat")
		d.Annotations = map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: c.annotation}
		got := apiextensions.Condition(decide(d, nil, nil, noon), apiextensionsv1.KubernetesAPIApprovalPolicyConformant)
		if c.reason == "" {
			if got != nil {
				t.Errorf("%s: %+v", c.group, got)
			}
			continue
		}
		if got == nil || got.Reason != c.reason || (got.Status == apiextensionsv1.ConditionTrue) != c.ok {
			t.Errorf("%s: %+v", c.group, got)
		}
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	d := definition("example.com", "boats", "Boat")
	d.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Schema: &apiextensionsv1.CustomResourceValidation{
		OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"},
	}}}
	if c := checkSchemas(d); c != nil {
		t.Errorf("%+v", c)
	}
	d.Spec.PreserveUnknownFields = true
	c := checkSchemas(d)
	if c == nil || c.Message != "spec.preserveUnknownFields: Invalid value: true: must be false" {
		t.Fatalf("%+v", c)
	}
	told := decide(d, nil, c, noon)
	if !apiextensions.Is(told, apiextensionsv1.NonStructuralSchema) {
		t.Errorf("%+v", told.Status)
	}
	if quiet := decide(told, nil, nil, noon); apiextensions.Condition(quiet, apiextensionsv1.NonStructuralSchema) != nil {
		t.Errorf("%+v", quiet.Status)
	}
}
