package rest

import (
	"net/http"

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

var scaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

// scaleOf shows an object as its scale.
func scaleOf(d *resource.Definition, obj resource.Object) *autoscalingv1.Scale {
	s := d.Scale.Get(obj)
	s.SetGroupVersionKind(scaleKind)
	s.ObjectMeta = metav1.ObjectMeta{
		Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
	}
	return s
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
		return a.answer(w, r, c, out, http.StatusOK, scaleOf(d, e.Object))
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
	m.AdmitObject = func(obj resource.Object) runtime.Object { return scaleOf(d, obj) }
	m.Admitted = func(obj resource.Object, admitted runtime.Object) error {
		if s := admitted.(*autoscalingv1.Scale); s.Spec.Replicas != d.Scale.Get(obj).Spec.Replicas {
			d.Scale.Set(obj, s.Spec.Replicas)
		}
		return nil
	}
	m.Change = func(live resource.Object) (resource.Object, error) {
		before := scaleOf(d, live)
		after, err := change(before)
		if err != nil {
			return nil, err
		}
		if err := validateScale(after, c); err != nil {
			return nil, err
		}
		if after.ResourceVersion != "" && after.ResourceVersion != live.GetResourceVersion() {
			return nil, modified(d, c.Name)
		}
		if after.UID != "" && after.UID != live.GetUID() {
			return nil, sameUID(d, d.Key(c.Namespace, c.Name), live, after.UID)
		}
		obj := live.DeepCopyObject().(resource.Object)
		d.Scale.Set(obj, after.Spec.Replicas)
		obj.GetObjectKind().SetGroupVersionKind(d.GroupVersionKind())
		if a.Managed != nil {
			// The change belongs to whoever scaled, under this subresource.
			plain := c.Match
			plain.Served = &d.Served[0]
			if err := a.Managed.Update(plain, "scale", table.Typed(live, d.GroupVersionKind()), obj, m.manager, c.Now); err != nil {
				a.Log.Warn("managed fields were not recorded", "err", err)
			}
		}
		return obj, nil
	}
	res, err := a.Modify(r.Context(), c, m.Modification)
	if err != nil {
		return err
	}
	return a.answer(w, r, c, out, http.StatusOK, scaleOf(d, res.Object))
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
	kind, err := patchType(r)
	if err != nil {
		return nil, nil, err
	}
	b, err := body(r)
	if err != nil {
		return nil, nil, err
	}
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
