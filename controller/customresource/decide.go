package customresource

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	internal "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/util/cert"

	"proa/resource/apiextensions"
)

type (
	crd       = apiextensionsv1.CustomResourceDefinition
	condition = apiextensionsv1.CustomResourceDefinitionCondition
	names     = apiextensionsv1.CustomResourceDefinitionNames
)

// taken are the names that the definitions of a group have.
type taken struct{ resources, kinds map[string]bool }

// takenIn lists the accepted names of a group's definitions.
func takenIn(group string, all []*crd) taken {
	t := taken{map[string]bool{}, map[string]bool{}}
	for _, d := range all {
		if d.Spec.Group != group {
			continue
		}
		n := &d.Status.AcceptedNames
		for _, name := range append([]string{n.Plural, n.Singular}, n.ShortNames...) {
			t.resources[name] = true
		}
		t.kinds[n.Kind], t.kinds[n.ListKind] = true, true
	}
	return t
}

// decide returns the status that a definition is to have, or nil where it has
// it. Of schemas it takes what check says.
func decide(d *crd, all []*crd, nonStructural *condition, now metav1.Time) *crd {
	// Only the status is written, and schemas are large.
	next := &crd{TypeMeta: d.TypeMeta, ObjectMeta: d.ObjectMeta, Spec: d.Spec, Status: *d.Status.DeepCopy()}
	if !equality.Semantic.DeepEqual(d.Spec.Names, d.Status.AcceptedNames) || apiextensions.Condition(d, apiextensionsv1.NamesAccepted) == nil {
		accepted, c := acceptNames(d, takenIn(d.Spec.Group, all))
		next.Status.AcceptedNames = accepted
		apiextensions.SetCondition(next, c, now)
	}
	if c := established(next); c != nil {
		apiextensions.SetCondition(next, *c, now)
	}
	if c := approval(d); c != nil {
		apiextensions.SetCondition(next, *c, now)
	}
	if nonStructural == nil {
		apiextensions.RemoveCondition(next, apiextensionsv1.NonStructuralSchema)
	} else {
		apiextensions.SetCondition(next, *nonStructural, now)
	}
	if equality.Semantic.DeepEqual(next.Status, d.Status) {
		return nil
	}
	return next
}

// acceptNames gives a definition those of the names it asks for that are free or
// its own. Of the others it keeps what it had.
func acceptNames(d *crd, t taken) (names, condition) {
	want, has := d.Spec.Names, d.Status.AcceptedNames
	got := *has.DeepCopy()
	c := condition{Type: apiextensionsv1.NamesAccepted, Status: apiextensionsv1.ConditionTrue, Reason: "NoConflicts", Message: "no conflicts found"}
	refuse := func(reason string, err error) {
		c.Status, c.Reason, c.Message = apiextensionsv1.ConditionFalse, reason, err.Error()
	}
	one := func(want, has string, used map[string]bool, into *string, reason string) {
		if err := free(want, has, used); err != nil {
			refuse(reason, err)
			return
		}
		*into = want
	}
	one(want.Plural, has.Plural, t.resources, &got.Plural, "PluralConflict")
	one(want.Singular, has.Singular, t.resources, &got.Singular, "SingularConflict")
	if !slices.Equal(want.ShortNames, has.ShortNames) {
		var errs []error
		for _, name := range want.ShortNames {
			if slices.Contains(has.ShortNames, name) {
				continue
			}
			if err := free(name, "", t.resources); err != nil {
				errs = append(errs, err)
			}
		}
		if err := utilerrors.NewAggregate(errs); err != nil {
			refuse("ShortNamesConflict", err)
		} else {
			got.ShortNames = slices.Clone(want.ShortNames)
		}
	}
	one(want.Kind, has.Kind, t.kinds, &got.Kind, "KindConflict")
	one(want.ListKind, has.ListKind, t.kinds, &got.ListKind, "ListKindConflict")
	got.Categories = slices.Clone(want.Categories)
	return got, c
}

func free(want, has string, used map[string]bool) error {
	if want == has || !used[want] {
		return nil
	}
	return fmt.Errorf("%q is already in use", want)
}

// established returns the condition that a definition gets, or nil where it
// keeps what it has: one that was established once stays so.
func established(d *crd) *condition {
	if apiextensions.Is(d, apiextensionsv1.Established) {
		return nil
	}
	c := &condition{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionFalse}
	switch {
	case !apiextensions.Is(d, apiextensionsv1.NamesAccepted):
		c.Reason, c.Message = "NotAccepted", "not all names are accepted"
	case !validBundle(d):
		c.Reason, c.Message = "InvalidCABundle", "The conversion webhook CABundle is invalid"
	default:
		c.Status, c.Reason, c.Message = apiextensionsv1.ConditionTrue, "InitialNamesAccepted", "the initial names have been accepted"
	}
	return c
}

// validBundle looks at the certificates by which a conversion webhook is known.
func validBundle(d *crd) bool {
	c := d.Spec.Conversion
	if c == nil || c.Webhook == nil || c.Webhook.ClientConfig == nil || len(c.Webhook.ClientConfig.CABundle) == 0 {
		return true
	}
	_, err := cert.ParseCertsPEM(c.Webhook.ClientConfig.CABundle)
	return err == nil
}

// approval is the condition of definitions in the groups of Kubernetes itself,
// which want an annotation that says who has agreed to them; nil for others.
func approval(d *crd) *condition {
	if !protected(d.Spec.Group) {
		return nil
	}
	const key, where = apiextensionsv1.KubeAPIApprovedAnnotation, "see https://github.com/kubernetes/enhancements/pull/1111"
	c := &condition{Type: apiextensionsv1.KubernetesAPIApprovalPolicyConformant, Status: apiextensionsv1.ConditionFalse}
	switch text := d.Annotations[key]; {
	case text == "":
		c.Reason, c.Message = "MissingAnnotation", fmt.Sprintf("protected groups must have approval annotation %q, %s", key, where)
	case strings.HasPrefix(text, "unapproved"):
		c.Reason, c.Message = "UnapprovedAnnotation", fmt.Sprintf("not approved: %q", text)
	case isURL(text):
		c.Status, c.Reason, c.Message = apiextensionsv1.ConditionTrue, "ApprovedAnnotation", "approved in "+text
	default:
		c.Reason = "InvalidAnnotation"
		c.Message = fmt.Sprintf("protected groups must have approval annotation %q with either a URL or a reason starting with \"unapproved\", %s", key, where)
	}
	return c
}

func protected(group string) bool {
	for _, domain := range []string{"k8s.io", "kubernetes.io"} {
		if group == domain || strings.HasSuffix(group, "."+domain) {
			return true
		}
	}
	return false
}

func isURL(text string) bool {
	u, err := url.ParseRequestURI(text)
	return err == nil && u.Host != "" && u.Scheme != ""
}

// checkSchemas says what is not structural in the schemas of a definition, or
// nil.
func checkSchemas(d *crd) *condition {
	c := &condition{Type: apiextensionsv1.NonStructuralSchema, Status: apiextensionsv1.ConditionTrue, Reason: "Violations"}
	var errs field.ErrorList
	if d.Spec.PreserveUnknownFields {
		errs = append(errs, field.Invalid(field.NewPath("spec", "preserveUnknownFields"), true, "must be false"))
	}
	for i, v := range d.Spec.Versions {
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			continue
		}
		s, err := structuralOf(v.Schema)
		if err != nil {
			c.Status, c.Reason = apiextensionsv1.ConditionUnknown, "StructuralError"
			c.Message = fmt.Sprintf("failed to check validation schema for version %s: %v", v.Name, err)
			return c
		}
		errs = append(errs, structural.ValidateStructural(field.NewPath("spec", "versions").Index(i).Child("schema", "openAPIV3Schema"), s)...)
	}
	if len(errs) == 0 {
		return nil
	}
	c.Message = errs.ToAggregate().Error()
	return c
}

func structuralOf(s *apiextensionsv1.CustomResourceValidation) (*structural.Structural, error) {
	in := &internal.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(s.DeepCopy(), in, nil); err != nil {
		return nil, errors.Join(errors.New("schema cannot be read"), err)
	}
	return structural.NewStructural(in.OpenAPIV3Schema)
}
