// Package runtimeclass is the admission plugin RuntimeClass: it refuses a pod
// whose runtime class is not there, and gives a pod what its class says it costs
// beside its containers and where it may run.
package runtimeclass

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/admission"
	"proa/resource"
)

// Classes finds runtime classes. It must know of every one that this server has
// written.
type Classes interface {
	RuntimeClass(ctx context.Context, name string) (*nodev1.RuntimeClass, error)
}

// Plugin is the admission plugin.
type Plugin struct{ classes Classes }

// New makes the plugin.
func New(c Classes) *Plugin { return &Plugin{c} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "RuntimeClass" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && subresource == "" && admission.Is(def, "", "pods")
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	pod, class, err := p.find(ctx, a)
	if err != nil || class == nil {
		return err
	}
	if class.Overhead != nil {
		if err := checkOverhead(pod, class); pod.Spec.Overhead != nil && err != nil {
			return admission.Forbidden(a, err)
		}
		pod.Spec.Overhead = class.Overhead.DeepCopy().PodFixed
	}
	if class.Scheduling != nil {
		if err := schedule(pod, class.Scheduling); err != nil {
			return admission.Forbidden(a, err)
		}
	}
	return nil
}

// Validate implements [admission.Validator]. Another plugin may have changed the
// pod since.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pod, class, err := p.find(ctx, a)
	if err != nil || pod == nil {
		return err
	}
	if err := checkOverhead(pod, class); err != nil {
		return admission.Forbidden(a, err)
	}
	return nil
}

// find returns the pod of a request and its class, or nil where it names none.
func (p *Plugin) find(ctx context.Context, a *admission.Attributes) (*corev1.Pod, *nodev1.RuntimeClass, error) {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || pod.Spec.RuntimeClassName == nil {
		return pod, nil, nil
	}
	name := *pod.Spec.RuntimeClassName
	class, err := p.classes.RuntimeClass(ctx, name)
	if apierrors.IsNotFound(err) {
		return nil, nil, admission.Forbidden(a, fmt.Errorf("pod rejected: RuntimeClass %q not found", name))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("failed to get RuntimeClass with name %s: %w", name, err)
	}
	return pod, class, nil
}

// checkOverhead tells whether a pod costs what its class says, and nothing
// without one.
func checkOverhead(pod *corev1.Pod, class *nodev1.RuntimeClass) error {
	if class == nil || class.Overhead == nil {
		if pod.Spec.Overhead != nil {
			return fmt.Errorf("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
		}
		return nil
	}
	if !equality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
		return fmt.Errorf("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
	}
	return nil
}

// schedule adds to a pod where its class can run.
func schedule(pod *corev1.Pod, s *nodev1.Scheduling) error {
	merged := maps.Clone(pod.Spec.NodeSelector)
	for k, v := range s.NodeSelector {
		if have, ok := merged[k]; ok && have != v {
			return fmt.Errorf("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", k, v, k, have)
		}
		if merged == nil {
			merged = map[string]string{}
		}
		merged[k] = v
	}
	pod.Spec.NodeSelector = merged
	for _, t := range s.Tolerations {
		if !tolerates(pod.Spec.Tolerations, t) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, t)
		}
	}
	return nil
}

func tolerates(list []corev1.Toleration, t corev1.Toleration) bool {
	for i := range list {
		if equality.Semantic.DeepEqual(list[i], t) {
			return true
		}
	}
	return false
}
