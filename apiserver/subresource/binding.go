package subresource

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/apiserver/connect"
	"proa/apiserver/request"
	"proa/apiserver/rest"
	"proa/resource"
)

// Pods answers the subresources of pods that are built upon other verbs:
// binding (also under its old name, the virtual resource bindings) and
// eviction.
func Pods(api *rest.API) connect.Registry {
	p := pods{api}
	binding := connect.Handler{
		New:  func() runtime.Object { return new(corev1.Binding) },
		Kind: corev1.SchemeGroupVersion.WithKind("Binding"), Answer: p.bind,
	}
	return connect.Registry{
		{Resource: "pods", Subresource: "binding"}:  binding,
		{Resource: "bindings"}:                      binding,
		{Resource: "pods", Subresource: "eviction"}: p.eviction(),
	}
}

type pods struct{ api *rest.API }

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// call is a call on one pod, on behalf of c.
func (p pods) call(c *request.Call, verb, namespace, name string) (*request.Call, error) {
	m, ok := p.api.Table.View().Resource(podResource)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("pods are not served"))
	}
	return p.api.Call(c, m.Definition, verb, "", namespace, name), nil
}

// bind assigns a pod to a node. It is the only way in which spec.nodeName of
// an existing pod is set.
func (p pods) bind(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	b := in.Object.(*corev1.Binding)
	if in.Subresource != "" && in.Name != b.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := validateBinding(b); len(errs) > 0 {
		// Upstream calls it an error of its own, without a reason.
		return nil, errs.ToAggregate()
	}
	c, err := p.call(in.Call, "update", in.Namespace, b.Name)
	if err != nil {
		return nil, err
	}
	_, err = p.api.Modify(ctx, c, rest.Modification{
		DryRun: in.DryRun, Unchecked: true, Hooks: rest.Untouched,
		Change: func(live resource.Object) (resource.Object, error) {
			pod := live.(*corev1.Pod).DeepCopy()
			if err := assign(pod, b, in.Now); err != nil {
				return nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, b.Name, err)
			}
			return pod, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}

func validateBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	if k := b.Target.Kind; k != "" && k != "Node" {
		// Upstream's list of what is supported.
		errs = append(errs, field.NotSupported(field.NewPath("target", "kind"), k, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		errs = append(errs, field.Required(field.NewPath("target", "name"), ""))
	}
	return errs
}

// assign puts what a binding says into the pod.
func assign(pod *corev1.Pod, b *corev1.Binding, now metav1.Time) error {
	if b.UID != "" && b.UID != pod.UID {
		return fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, pod.UID) //nolint:staticcheck // upstream's words
	}
	if b.ResourceVersion != "" && b.ResourceVersion != pod.ResourceVersion {
		return fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", b.ResourceVersion, pod.ResourceVersion) //nolint:staticcheck // upstream's words
	}
	if pod.DeletionTimestamp != nil {
		return fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name)
	}
	if pod.Spec.NodeName != "" {
		return fmt.Errorf("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName)
	}
	if len(pod.Spec.SchedulingGates) > 0 {
		return fmt.Errorf("pod %v has non-empty .spec.schedulingGates", pod.Name)
	}
	pod.Spec.NodeName = b.Target.Name
	// Where the pod was to wait for room is of no interest any more.
	pod.Status.NominatedNodeName = ""
	for k, v := range b.Annotations {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[k] = v
	}
	for k, v := range b.Labels {
		// Topology labels that admission has copied from the node.
		if pod.Labels == nil {
			pod.Labels = map[string]string{}
		}
		pod.Labels[k] = v
	}
	scheduled(pod, now)
	return nil
}

// scheduled sets the condition PodScheduled.
func scheduled(pod *corev1.Pod, now metav1.Time) {
	setCondition(pod, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation,
		LastTransitionTime: now.Rfc3339Copy(),
	})
}

// setCondition sets a condition, which keeps the time of its last transition
// while its status is the same.
func setCondition(pod *corev1.Pod, want corev1.PodCondition) {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type != want.Type {
			continue
		}
		if c.Status == want.Status {
			want.LastTransitionTime = c.LastTransitionTime
		}
		*c = want
		return
	}
	pod.Status.Conditions = append(pod.Status.Conditions, want)
}
