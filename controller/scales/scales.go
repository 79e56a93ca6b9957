// Package scales reads and writes how many replicas an object of any kind asks
// for, by its scale subresource.
package scales

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/controller"
)

// Target names an object that has a scale, by its kind.
type Target struct {
	APIVersion, Kind, Namespace, Name string
}

// NoScaleError: the kind is served, and has no scale.
type NoScaleError struct{ Resource schema.GroupResource }

func (e *NoScaleError) Error() string {
	return e.Resource.String() + " does not implement the scale subresource"
}

// Get reads the scale of a target. An object that is not there is an error of
// IsNotFound; a kind without scale is a [NoScaleError].
func Get(ctx context.Context, env controller.Env, t Target) (*autoscalingv1.Scale, error) {
	m, err := mapping(env, t)
	if err != nil {
		return nil, err
	}
	b, err := env.Client.Discovery().RESTClient().Get().AbsPath(path(m, t)...).
		SetHeader("Accept", "application/json").Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		// There may be no such object, or no such subresource.
		scaled, derr := has(env, m.Resource)
		if derr != nil {
			return nil, derr
		}
		if !scaled {
			return nil, &NoScaleError{m.Resource.GroupResource()}
		}
	}
	if err != nil {
		return nil, err
	}
	return decode(b, t)
}

// Update writes a scale that was read by Get, and returns what it became.
func Update(ctx context.Context, env controller.Env, t Target, s *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
	m, err := mapping(env, t)
	if err != nil {
		return nil, err
	}
	s = s.DeepCopy()
	s.TypeMeta = metav1.TypeMeta{APIVersion: autoscalingv1.SchemeGroupVersion.String(), Kind: "Scale"}
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode a scale: %w", err)
	}
	b, err := env.Client.Discovery().RESTClient().Put().AbsPath(path(m, t)...).
		SetHeader("Accept", "application/json").SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	return decode(b, t)
}

func decode(b []byte, t Target) (*autoscalingv1.Scale, error) {
	s := &autoscalingv1.Scale{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("decode the scale of %s %s: %w", t.Kind, t.Name, err)
	}
	return s, nil
}

func mapping(env controller.Env, t Target) (*meta.RESTMapping, error) {
	gv, err := schema.ParseGroupVersion(t.APIVersion)
	if err != nil {
		return nil, err
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: t.Kind}
	m, err := env.Mapper.RESTMapping(kind, gv.Version)
	if meta.IsNoMatchError(err) {
		// The kind may have been defined since the mapper looked.
		meta.MaybeResetRESTMapper(env.Mapper)
		m, err = env.Mapper.RESTMapping(kind, gv.Version)
	}
	return m, err
}

func path(m *meta.RESTMapping, t Target) []string {
	gv := m.Resource.GroupVersion()
	p := []string{"/apis", gv.Group, gv.Version}
	if gv.Group == "" {
		p = []string{"/api", gv.Version}
	}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		p = append(p, "namespaces", t.Namespace)
	}
	return append(p, m.Resource.Resource, t.Name, "scale")
}

// has reports whether discovery knows a scale of the resource.
func has(env controller.Env, r schema.GroupVersionResource) (bool, error) {
	list, err := env.Discovery.ServerResourcesForGroupVersion(r.GroupVersion().String())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource+"/scale" }), nil
}
