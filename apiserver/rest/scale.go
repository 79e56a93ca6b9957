package rest

import (
	"fmt"
	"math"
	"net/http"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/apiserver/codec"
	"proa/apiserver/managed"
	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/apiserver/table"
	"proa/resource"
)

// scalePatches: a scale has a Go type, of whatever it is.
var scalePatches = &resource.Definition{}

var scaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

// noReplicas stands for the count of an object that has none, so that it shows
// whether a patch has set one.
const noReplicas = math.MinInt32

// scaleOf shows an object of the served version as its scale.
func scaleOf(m resource.Match, obj resource.Object) (*autoscalingv1.Scale, error) {
	s, found, err := m.Served.Scale.Get(obj)
	if err != nil {
		return nil, err
	}
	if !found {
		s.Spec.Replicas = noReplicas
	}
	s.SetGroupVersionKind(scaleKind)
	s.ObjectMeta = metav1.ObjectMeta{
		Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
	}
	return s, nil
}

// replicasField is the path of the count, as messages name it.
func replicasField(m resource.Match) string {
	return "." + strings.Join(m.Served.Scale.ReplicasPath, ".")
}

// sendScale answers with the scale of a stored object.
func (a *API) sendScale(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, stored resource.Object) error {
	obj, err := asAsked(c, stored)
	if err != nil {
		return err
	}
	s, err := scaleOf(c.Match, obj)
	if err != nil {
		return err
	}
	if s.Spec.Replicas == noReplicas {
		return apierrors.NewInternalError(fmt.Errorf("the spec replicas field %q does not exist", replicasField(c.Match)))
	}
	return a.answer(w, r, c, out, http.StatusOK, s)
}

// serveScale reads or writes the number of replicas of any scalable object.
func (a *API) serveScale(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	d := c.Match.Definition
	out, err := negotiate.Accept(r, untabled)
	if err != nil {
		return err
	}
	switch c.Verb {
	case "get":
		e, err := a.Get(r.Context(), c, c.Query.Get("resourceVersion"))
		if err != nil {
			return err
		}
		return a.sendScale(w, r, c, out, e.Object)
	case "update", "patch":
	default:
		return ErrMethod
	}
	change, m, err := a.readScale(r, c)
	if err != nil {
		return err
	}
	hooks := MainHooks(c.Match)
	m.Hooks = &resource.UpdateHooks{PrepareUpdate: hooks.PrepareUpdate, ValidateUpdate: hooks.ValidateUpdate,
		Warnings: func(_, _ resource.Object) []string { return nil }}
	m.AdmitObject = func(obj resource.Object) runtime.Object {
		s, err := scaleOf(c.Match, obj)
		if err != nil {
			return &autoscalingv1.Scale{} // the write is refused, for the same reason
		}
		return s
	}
	m.Admitted = func(obj resource.Object, admitted runtime.Object) error {
		was, err := scaleOf(c.Match, obj)
		if err != nil {
			return err
		}
		if s := admitted.(*autoscalingv1.Scale); s.Spec.Replicas != was.Spec.Replicas {
			return c.Match.Served.Scale.Set(obj, s.Spec.Replicas)
		}
		return nil
	}
	m.Change = func(live resource.Object) (resource.Object, error) {
		before, err := scaleOf(c.Match, live)
		if err != nil {
			return nil, err
		}
		after, err := change(before)
		if err != nil {
			return nil, err
		}
		if after.Spec.Replicas == noReplicas {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the spec replicas field %q cannot be empty", replicasField(c.Match)))
		}
		if d.Dynamic == nil {
			if err := validateScale(after, c); err != nil {
				return nil, err
			}
		}
		if after.ResourceVersion != "" && after.ResourceVersion != live.GetResourceVersion() {
			return nil, modified(d, c.Name)
		}
		if after.UID != "" && after.UID != live.GetUID() {
			return nil, sameUID(d, d.Key(c.Namespace, c.Name), live, after.UID)
		}
		obj := live.DeepCopyObject().(resource.Object)
		if err := c.Match.Served.Scale.Set(obj, after.Spec.Replicas); err != nil {
			return nil, err
		}
		// The change belongs to whoever scaled, under this subresource.
		of := c.Match
		if d.Dynamic == nil {
			of.Served = &d.Served[0]
		}
		obj.GetObjectKind().SetGroupVersionKind(of.Served.GroupVersionKind())
		if a.Managed != nil {
			if err := a.Managed.Update(of, "scale", table.Typed(live, of.Served.GroupVersionKind()), obj, m.manager, c.Now); err != nil {
				a.Log.Warn("managed fields were not recorded", "err", err)
			}
		}
		return obj, nil
	}
	res, err := a.Modify(r.Context(), c, m.Modification)
	if err != nil {
		return err
	}
	return a.sendScale(w, r, c, out, res.Object)
}

type scaling struct {
	Modification
	manager string
}

// readScale reads an update or patch of a scale: what it makes of the present
// one.
func (a *API) readScale(r *http.Request, c *request.Call) (func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error), *scaling, error) {
	if c.Verb == "update" {
		o, err := updateOptions(c.Query)
		if err != nil {
			return nil, nil, err
		}
		f, err := negotiate.Body(r, negotiate.Allowed{})
		if err != nil {
			return nil, nil, err
		}
		b, err := body(r)
		if err != nil {
			return nil, nil, err
		}
		in := &autoscalingv1.Scale{}
		warnings, err := codec.Decode(f, b, in, scaleKind, validationOf(o.FieldValidation), a.known)
		if err != nil {
			return nil, nil, err
		}
		for _, w := range warnings {
			c.Warn(w)
		}
		auditRequest(c, in)
		if err := checkName(c, in); err != nil {
			return nil, nil, err
		}
		if err := placeInNamespace(c, in); err != nil {
			return nil, nil, err
		}
		m := &scaling{manager: managed.Manager(o.FieldManager, c.UserAgent)}
		m.DryRun, m.Options = isDryRun(o.DryRun), o
		return func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return in, nil }, m, nil
	}
	kind, err := patchType(r, scalePatches)
	if err != nil {
		return nil, nil, err
	}
	b, err := body(r)
	if err != nil {
		return nil, nil, err
	}
	auditPatch(c, b)
	o, err := patchOptions(c.Query, kind)
	if err != nil {
		return nil, nil, err
	}
	m := &scaling{manager: managed.Manager(o.FieldManager, c.UserAgent)}
	m.DryRun = isDryRun(o.DryRun)
	m.Options = &metav1.UpdateOptions{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"},
		DryRun: o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation}
	return func(before *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		return patchScale(c, kind, b, before, validationOf(o.FieldValidation))
	}, m, nil
}

func patchScale(c *request.Call, kind types.PatchType, b []byte, before *autoscalingv1.Scale, v codec.Validation) (*autoscalingv1.Scale, error) {
	if kind == types.ApplyYAMLPatchType {
		// A scale has one field to own; applying it is merging it.
		js, err := appliedJSON(b)
		if err != nil {
			return nil, err
		}
		kind, b = types.MergePatchType, js
	}
	out, warnings, err := patchObject(kind, before, b, v)
	if err != nil {
		return nil, err
	}
	after := out.(*autoscalingv1.Scale)
	for _, w := range warnings {
		c.Warn(w)
	}
	return after, checkName(c, after)
}

func validateScale(s *autoscalingv1.Scale, c *request.Call) error {
	errs := apivalidation.ValidateObjectMeta(&s.ObjectMeta, !c.Match.ClusterScoped, apivalidation.NameIsDNSSubdomain, metadata)
	errs = append(errs, apivalidation.ValidateNonnegativeField(int64(s.Spec.Replicas), field.NewPath("spec", "replicas"))...)
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: "autoscaling", Kind: "Scale"}, s.Name, errs)
}
