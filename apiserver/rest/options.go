package rest

import (
	"fmt"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	internalvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/apiserver/codec"
	"proa/apiserver/request"
	"proa/resource"
)

func invalidOptions(kind string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

func createOptions(q url.Values) (*metav1.CreateOptions, error) {
	o := &metav1.CreateOptions{}
	if len(q) > 0 {
		if err := metav1.Convert_url_Values_To_v1_CreateOptions(&q, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if err := invalidOptions("CreateOptions", validation.ValidateCreateOptions(o)); err != nil {
			return nil, err
		}
	}
	o.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}
	return o, nil
}

func updateOptions(q url.Values) (*metav1.UpdateOptions, error) {
	o := &metav1.UpdateOptions{}
	if len(q) > 0 {
		if err := metav1.Convert_url_Values_To_v1_UpdateOptions(&q, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if err := invalidOptions("UpdateOptions", validation.ValidateUpdateOptions(o)); err != nil {
			return nil, err
		}
	}
	o.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"}
	return o, nil
}

func patchOptions(q url.Values, kind types.PatchType) (*metav1.PatchOptions, error) {
	o := &metav1.PatchOptions{}
	if len(q) > 0 {
		if err := metav1.Convert_url_Values_To_v1_PatchOptions(&q, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	if err := invalidOptions("PatchOptions", validation.ValidatePatchOptions(o, kind)); err != nil {
		return nil, err
	}
	o.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PatchOptions"}
	return o, nil
}

// deleteOptions come in the body where there is one, else in the query.
func deleteOptions(f codec.Format, body []byte, q url.Values) (*metav1.DeleteOptions, error) {
	o := &metav1.DeleteOptions{}
	switch {
	case len(body) > 0:
		if err := decodeDeleteOptions(f, body, o); err != nil {
			return nil, err
		}
	case len(q) > 0:
		if err := metav1.Convert_url_Values_To_v1_DeleteOptions(&q, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	// Behind an alpha gate upstream.
	o.IgnoreStoreReadErrorWithClusterBreakingPotential = nil
	if err := invalidOptions("DeleteOptions", validation.ValidateDeleteOptions(o)); err != nil {
		return nil, err
	}
	o.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "DeleteOptions"}
	return o, nil
}

// decodeDeleteOptions accepts the kind in any group, since old clients send it
// in that of the resource.
func decodeDeleteOptions(f codec.Format, body []byte, o *metav1.DeleteOptions) error {
	want := metav1.SchemeGroupVersion.WithKind("DeleteOptions")
	if f == codec.Protobuf {
		e, err := codec.Open(body)
		if err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		if e.Kind != "" && e.Kind != want.Kind {
			return apierrors.NewBadRequest("decoded object cannot be converted to DeleteOptions")
		}
		if err := o.Unmarshal(e.Raw); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		return nil
	}
	any := func(gvk schema.GroupVersionKind) bool { return true }
	probe := &metav1.TypeMeta{}
	if err := codec.Loose(f, body, probe); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if probe.Kind != "" && probe.Kind != want.Kind {
		return apierrors.NewBadRequest("decoded object cannot be converted to DeleteOptions")
	}
	if probe.APIVersion != "" {
		want = schema.FromAPIVersionAndKind(probe.APIVersion, want.Kind)
	}
	_, err := codec.Decode(f, body, o, want, codec.Ignore, any)
	return err
}

func isDryRun(values []string) bool { return len(values) > 0 }

func validationOf(s string) codec.Validation {
	if s == "" {
		return codec.Warn
	}
	return codec.Validation(s)
}

// query is a parsed LIST, WATCH or DELETECOLLECTION.
type query struct {
	metav1.ListOptions
	labels labels.Selector
	fields fields.Selector
	// revision is ResourceVersion as a number, 0 where it is unset or "0".
	revision int64
}

// listOptions reads and checks the query of a collection.
func listOptions(c *request.Call, watch bool) (*query, error) {
	o := &query{labels: labels.Everything(), fields: fields.Everything()}
	q := c.Query
	if len(q) > 0 {
		if err := metav1.Convert_url_Values_To_v1_ListOptions(&q, &o.ListOptions, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		var err error
		if o.LabelSelector != "" {
			if o.labels, err = labels.Parse(o.LabelSelector); err != nil {
				return nil, apierrors.NewBadRequest(err.Error())
			}
		}
		if o.FieldSelector != "" {
			if o.fields, err = fields.ParseSelector(o.FieldSelector); err != nil {
				return nil, apierrors.NewBadRequest(err.Error())
			}
			if err := supportedFields(c.Match, o.fields); err != nil {
				return nil, err
			}
		}
	}
	o.Watch = watch
	if watch && o.SendInitialEvents == nil && (o.ResourceVersion == "" || o.ResourceVersion == "0") {
		// A watch from nowhere begins with what there is.
		yes := true
		o.SendInitialEvents = &yes
		o.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	errs := internalvalidation.ValidateListOptions(&internalversion.ListOptions{
		Watch: o.Watch, ResourceVersion: o.ResourceVersion, ResourceVersionMatch: o.ResourceVersionMatch,
		Continue: o.Continue, Limit: o.Limit, SendInitialEvents: o.SendInitialEvents,
	}, true)
	if err := invalidOptions("ListOptions", errs); err != nil {
		return nil, err
	}
	if o.ResourceVersion != "" {
		rev, err := strconv.ParseUint(o.ResourceVersion, 10, 63)
		if err != nil {
			return nil, invalidVersion(o.ResourceVersion, err)
		}
		o.revision = int64(rev)
	}
	return o, nil
}

func invalidVersion(rv string, err error) error {
	return apierrors.NewBadRequest("invalid resource version: " + field.Invalid(field.NewPath("resourceVersion"), rv, err.Error()).Error())
}

// supportedFields refuses a selector over a field that the kind does not offer.
func supportedFields(m resource.Match, sel fields.Selector) error {
	var own map[string]string
	for _, r := range sel.Requirements() {
		if r.Field == "metadata.name" || r.Field == "metadata.namespace" && !(m.Dynamic != nil && m.ClusterScoped) {
			continue
		}
		if own == nil {
			own = m.Served.Fields(m.New())
		}
		if _, ok := own[r.Field]; ok {
			continue
		}
		if len(own) == 0 && m.Dynamic == nil {
			return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", r.Field))
		}
		return apierrors.NewBadRequest("field label not supported: " + r.Field)
	}
	return nil
}
