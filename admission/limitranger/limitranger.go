// Package limitranger is the admission plugin LimitRanger: in a namespace with
// limit ranges, containers get the requests and limits that they leave out,
// and pods and claims outside of what the ranges allow are refused.
package limitranger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"proa/admission"
	"proa/resource"
)

// annotation says what the plugin has filled in.
const annotation = "kubernetes.io/limit-ranger"

// Ranges lists the limit ranges of a namespace.
type Ranges interface {
	LimitRanges(ctx context.Context, namespace string) ([]*corev1.LimitRange, error)
}

// Plugin is the admission plugin.
type Plugin struct{ ranges Ranges }

// New makes the plugin.
func New(r Ranges) *Plugin { return &Plugin{r} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "LimitRanger" }

// Handles implements [admission.Plugin]. The resources of a pod change only by
// its resize subresource.
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	switch {
	case admission.Is(def, "", "pods"):
		return op == admission.Create && subresource == "" || op == admission.Update && subresource == "resize"
	case admission.Is(def, "", "persistentvolumeclaims"):
		return subresource == "" && (op == admission.Create || op == admission.Update)
	}
	return false
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	ranges, err := p.list(ctx, a)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		fill(pod, r)
	}
	return nil
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	ranges, err := p.list(ctx, a)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		var errs []error
		switch o := a.Object.(type) {
		case *corev1.Pod:
			errs = checkPod(r, o)
		case *corev1.PersistentVolumeClaim:
			errs = checkClaim(r, o)
		}
		if err := utilerrors.NewAggregate(errs); err != nil {
			return admission.Forbidden(a, err)
		}
	}
	return nil
}

// list returns the ranges that hold for a request, in the order of their
// names. An object that is going away is let be.
func (p *Plugin) list(ctx context.Context, a *admission.Attributes) ([]*corev1.LimitRange, error) {
	if old, ok := a.Old.(resource.Object); ok && old.GetDeletionTimestamp() != nil {
		return nil, nil
	}
	ranges, err := p.ranges.LimitRanges(ctx, a.Namespace)
	if err != nil {
		return nil, admission.Forbidden(a, fmt.Errorf("unable to %s %v at this time because there was an error enforcing limit ranges", a.Operation, a.GroupResource().Resource))
	}
	if len(ranges) > 1 {
		ranges = slices.SortedFunc(slices.Values(ranges), func(x, y *corev1.LimitRange) int { return strings.Compare(x.Name, y.Name) })
	}
	return ranges, nil
}

// fill gives the containers of a pod what a range says they have by default.
func fill(pod *corev1.Pod, r *corev1.LimitRange) {
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	for _, l := range r.Spec.Limits {
		if l.Type != corev1.LimitTypeContainer {
			continue
		}
		for k, v := range l.DefaultRequest {
			requests[k] = v.DeepCopy()
		}
		for k, v := range l.Default {
			limits[k] = v.DeepCopy()
		}
	}
	if len(requests)+len(limits) == 0 {
		return
	}
	var said []string
	merge := func(to *corev1.ResourceList, from corev1.ResourceList, what, kind, name string) {
		var set []string
		for k, v := range from {
			if _, ok := (*to)[k]; ok {
				continue
			}
			if *to == nil {
				*to = corev1.ResourceList{}
			}
			(*to)[k] = v
			set = append(set, string(k))
		}
		if len(set) > 0 {
			slices.Sort(set)
			said = append(said, fmt.Sprintf("%s %s for %s %s", strings.Join(set, ", "), what, kind, name))
		}
	}
	each := func(kind string, list []corev1.Container) {
		for i := range list {
			c := &list[i]
			merge(&c.Resources.Requests, requests, "request", kind, c.Name)
			merge(&c.Resources.Limits, limits, "limit", kind, c.Name)
		}
	}
	each("container", pod.Spec.Containers)
	each("init container", pod.Spec.InitContainers)
	if len(said) > 0 {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[annotation] = "LimitRanger plugin set: " + strings.Join(said, "; ")
	}
}
