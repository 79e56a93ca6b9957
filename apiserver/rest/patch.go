package rest

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"proa/apiserver/codec"
	"proa/apiserver/managed"
	"proa/apiserver/negotiate"
	"proa/apiserver/patch"
	"proa/apiserver/request"
	"proa/resource"
)

// Patch types in the order of upstream's message. A strategic merge is told by
// the Go type how to merge, so that dynamic kinds have none.
const (
	patchTypes        = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
	dynamicPatchTypes = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
)

func patchType(r *http.Request, d *resource.Definition) (types.PatchType, error) {
	ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch t := types.PatchType(ct); {
	case t == types.JSONPatchType, t == types.MergePatchType, t == types.ApplyYAMLPatchType,
		t == types.StrategicMergePatchType && d.Dynamic == nil:
		return t, nil
	}
	if d.Dynamic != nil {
		return "", negotiate.Unsupported(dynamicPatchTypes)
	}
	return "", negotiate.Unsupported(patchTypes)
}

func (a *API) servePatch(w http.ResponseWriter, r *http.Request, c *request.Call, hooks *resource.UpdateHooks) error {
	kind, err := patchType(r, c.Match.Definition)
	if err != nil {
		return err
	}
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	b, err := body(r)
	if err != nil {
		return err
	}
	auditPatch(c, b)
	o, err := patchOptions(c.Query, kind)
	if err != nil {
		return err
	}
	p := patching{api: a, call: c, kind: kind, body: b, options: o}
	m := Modification{
		Hooks: hooks, CreateMissing: kind == types.ApplyYAMLPatchType && c.Subresource == "", DryRun: isDryRun(o.DryRun),
		Options: &metav1.UpdateOptions{
			TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"},
			DryRun:   o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation,
		},
		CreateOptions: createFrom(o.DryRun, o.FieldManager, o.FieldValidation),
		Change:        func(live resource.Object) (resource.Object, error) { return p.change(live) },
	}
	if kind == types.ApplyYAMLPatchType {
		if err := p.readConfiguration(); err != nil {
			return err
		}
	}
	res, err := a.Modify(r.Context(), c, m)
	if err != nil {
		return err
	}
	return a.sendResult(w, r, c, out, created(res), res)
}

// patching is one patch, which is applied once for every attempt.
type patching struct {
	api     *API
	call    *request.Call
	kind    types.PatchType
	body    []byte
	options *metav1.PatchOptions
	// config is the applied configuration.
	config *unstructured.Unstructured
	// deferred are warnings of the configuration, shown once it has applied.
	deferred error
}

// change makes the patched object, of the stored version.
func (p *patching) change(live resource.Object) (resource.Object, error) {
	a, c := p.api, p.call
	if live == nil && p.kind != types.ApplyYAMLPatchType {
		return nil, apierrors.NewNotFound(c.Match.GroupResource(), c.Name)
	}
	before, err := a.served(c, live)
	if err != nil {
		return nil, err
	}
	var obj resource.Object
	if p.kind == types.ApplyYAMLPatchType {
		obj, err = p.apply(before)
	} else {
		obj, err = p.patch(before)
	}
	if err != nil {
		return nil, err
	}
	s := c.Match.Served
	obj.GetObjectKind().SetGroupVersionKind(s.GroupVersionKind())
	if p.kind != types.ApplyYAMLPatchType && a.Managed != nil {
		manager := managed.Manager(p.options.FieldManager, c.UserAgent)
		if err := a.Managed.Update(c.Match, c.Subresource, before, obj, manager, c.Now); err != nil {
			a.Log.Warn("managed fields were not recorded", "err", err)
		}
	}
	if err := placeInNamespace(c, obj); err != nil {
		return nil, err
	}
	if err := checkName(c, obj); err != nil {
		return nil, err
	}
	stored, err := s.From(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return stored, nil
}

// patch applies a JSON, merge or strategic merge patch to an object of the
// served version.
func (p *patching) patch(before resource.Object) (resource.Object, error) {
	s := p.call.Match.Served
	v := validationOf(p.options.FieldValidation)
	out, warnings, err := patchObject(p.kind, before, p.body, v)
	if err != nil {
		return nil, err
	}
	obj := out.(resource.Object)
	if d, ok := obj.(codec.Dynamic); ok {
		if err := codec.CheckKind(d, s.GroupVersionKind()); err != nil {
			return nil, err
		}
	}
	if got := obj.GetObjectKind().GroupVersionKind(); got != s.GroupVersionKind() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("a patch may not change the kind: %s is not %s", got, s.GroupVersionKind()))
	}
	for _, w := range warnings {
		p.call.Warn(w)
	}
	s.Default(obj)
	return obj, nil
}

// patchObject applies a patch of any kind but apply to an object with its kind
// set, and returns a new one of the same type.
func patchObject(kind types.PatchType, before runtime.Object, body []byte, v codec.Validation) (runtime.Object, []string, error) {
	switch kind {
	case types.StrategicMergePatchType:
		return patch.Strategic(before, body, v)
	case types.MergePatchType:
		return patch.MergeObject(before, body, v)
	}
	return patch.JSONObject(before, body, v)
}

// readConfiguration parses the body of an apply.
func (p *patching) readConfiguration() error {
	tree := map[string]any{}
	js, err := appliedJSON(p.body)
	if err != nil {
		return err
	}
	// This parser keeps integers apart from other numbers, as the schema wants
	// them.
	if err := codec.Loose(codec.JSON, js, &tree); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: error unmarshaling JSON: while decoding JSON: %v", err))
	}
	p.config = &unstructured.Unstructured{Object: tree}
	if v := validationOf(p.options.FieldValidation); v != codec.Ignore {
		if _, err := yaml.YAMLToJSONStrict(p.body); err != nil {
			if v == codec.Strict {
				return apierrors.NewBadRequest(fmt.Sprintf("error strict decoding YAML: %v", err))
			}
			p.deferred = err
		}
	}
	return nil
}

// appliedJSON is the body of an apply as JSON, of which nothing is known yet but
// that it does not nest too deep.
func appliedJSON(body []byte) ([]byte, error) {
	js, err := codec.YAMLToJSON(body)
	if err == nil {
		err = codec.CheckDepth(js)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: error converting YAML to JSON: %v", err))
	}
	return js, nil
}

// apply merges the configuration into the object.
func (p *patching) apply(before resource.Object) (resource.Object, error) {
	c := p.call
	if p.api.Managed == nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("server-side apply needs the tracking of fields"))
	}
	force := p.options.Force != nil && *p.options.Force
	obj, err := p.api.Managed.Apply(c.Match, c.Subresource, before, p.config.DeepCopy(), p.options.FieldManager, force)
	if err != nil {
		return nil, err
	}
	if p.deferred != nil {
		for _, w := range codec.StrictWarnings([]error{p.deferred}) {
			c.Warn(w)
		}
	}
	return obj, nil
}
