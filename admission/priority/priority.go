// Package priority is the admission plugin Priority: it turns the name of a
// pod's priority class into the number that schedulers work with, and sees to
// it that at most one class is the default.
package priority

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/admission"
	"proa/resource"
)

// Classes finds priority classes. It must know of every one that this server
// has written.
type Classes interface {
	PriorityClass(ctx context.Context, name string) (*schedulingv1.PriorityClass, error)
	PriorityClasses(ctx context.Context) ([]*schedulingv1.PriorityClass, error)
}

// Plugin is the admission plugin.
type Plugin struct{ classes Classes }

// New makes the plugin.
func New(c Classes) *Plugin { return &Plugin{c} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "Priority" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return subresource == "" && (op == admission.Create || op == admission.Update) &&
		(admission.Is(def, "", "pods") || admission.Is(def, schedulingv1.GroupName, "priorityclasses"))
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	if a.Operation == admission.Create {
		return p.resolve(ctx, a, pod)
	}
	// A client that knows nothing of these fields does not take them away.
	if old, ok := a.Old.(*corev1.Pod); ok {
		if pod.Spec.Priority == nil {
			pod.Spec.Priority = old.Spec.Priority
		}
		if pod.Spec.PreemptionPolicy == nil {
			pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
		}
	}
	return nil
}

// resolve gives a new pod what its class says, or the default class.
func (p *Plugin) resolve(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) error {
	var class *schedulingv1.PriorityClass
	var err error
	if name := pod.Spec.PriorityClassName; name == "" {
		if class, err = p.defaultClass(ctx); err != nil {
			return fmt.Errorf("failed to get default priority class: %w", err)
		}
	} else if class, err = p.classes.PriorityClass(ctx, name); apierrors.IsNotFound(err) {
		return admission.Forbidden(a, fmt.Errorf("no PriorityClass with name %v was found", name))
	} else if err != nil {
		return fmt.Errorf("failed to get PriorityClass with name %s: %w", name, err)
	}
	priority, policy := int32(0), corev1.PreemptLowerPriority
	if class != nil {
		pod.Spec.PriorityClassName = class.Name
		priority = class.Value
		if class.PreemptionPolicy != nil {
			policy = *class.PreemptionPolicy
		}
	}
	if was := pod.Spec.Priority; was != nil && *was != priority {
		return admission.Forbidden(a, fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *was, priority))
	}
	if was := pod.Spec.PreemptionPolicy; was != nil && *was != policy {
		return admission.Forbidden(a, fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *was, policy))
	}
	pod.Spec.Priority, pod.Spec.PreemptionPolicy = &priority, &policy
	return nil
}

// defaultClass is the default with the lowest value, should there be several
// (two servers may each have admitted one); nil where there is none.
func (p *Plugin) defaultClass(ctx context.Context) (*schedulingv1.PriorityClass, error) {
	list, err := p.classes.PriorityClasses(ctx)
	if err != nil {
		return nil, err
	}
	var class *schedulingv1.PriorityClass
	for _, c := range list {
		if c.GlobalDefault && (class == nil || c.Value < class.Value) {
			class = c
		}
	}
	return class, nil
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	class, ok := a.Object.(*schedulingv1.PriorityClass)
	if !ok || !class.GlobalDefault {
		return nil
	}
	other, err := p.defaultClass(ctx)
	if err != nil {
		return fmt.Errorf("failed to get default priority class: %w", err)
	}
	if other != nil && (a.Operation == admission.Create || other.Name != class.Name) {
		return admission.Forbidden(a, fmt.Errorf("PriorityClass %v is already marked as default. Only one default can exist", other.Name))
	}
	return nil
}
