package subresource

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/apiserver/connect"
	"proa/apiserver/rest"
	"proa/resource"
)

func (p pods) eviction() connect.Handler {
	return connect.Handler{
		New:    func() runtime.Object { return new(policyv1.Eviction) },
		Kind:   policyv1.SchemeGroupVersion.WithKind("Eviction"),
		Answer: p.evict,
	}
}

// evict deletes a pod as a client with the right to evict, but not to delete,
// may have it done.
func (p pods) evict(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	e := in.Object.(*policyv1.Eviction)
	if e.Name != in.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	o := e.DeleteOptions
	if o == nil {
		o = &metav1.DeleteOptions{}
	}
	o = o.DeepCopy()
	if in.DryRun && len(o.DryRun) == 0 {
		o.DryRun = []string{metav1.DryRunAll}
	}
	if !in.DryRun && len(o.DryRun) > 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("Non-matching dry-run option from query params and from eviction body: [] vs [%s]", strings.Join(o.DryRun, ", ")))
	}
	if errs := validation.ValidateDeleteOptions(o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	if err := p.markEvicted(ctx, in, o); err != nil {
		return nil, err
	}
	c, err := p.call(in.Call, "delete", in.Namespace, in.Name)
	if err != nil {
		return nil, err
	}
	if _, _, err := p.api.Delete(ctx, c, o); err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}

// markEvicted tells the pod why it goes, so that whoever owns it can tell a
// disruption from a failure. Where the deletion wants the pod to be at a
// version, that is checked here, and the deletion wants the marked one.
func (p pods) markEvicted(ctx context.Context, in *connect.Input, o *metav1.DeleteOptions) error {
	if len(o.DryRun) > 0 {
		return nil
	}
	c, err := p.call(in.Call, "update", in.Namespace, in.Name)
	if err != nil {
		return err
	}
	want := o.Preconditions
	r, err := p.api.Modify(ctx, c, rest.Modification{
		Unchecked: true, Hooks: rest.Untouched,
		Change: func(live resource.Object) (resource.Object, error) {
			if err := atVersion(live, want); err != nil {
				return nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, in.Name, err)
			}
			pod := live.(*corev1.Pod).DeepCopy()
			setCondition(pod, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation,
				Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting", LastTransitionTime: in.Now.Rfc3339Copy(),
			})
			return pod, nil
		},
	})
	if err != nil {
		return err
	}
	if want != nil && want.ResourceVersion != nil {
		v := r.Entry.Object.GetResourceVersion()
		o.Preconditions.ResourceVersion = &v
	}
	return nil
}

// atVersion checks preconditions, which may be nil.
func atVersion(o resource.Object, want *metav1.Preconditions) error {
	if want == nil {
		return nil
	}
	if want.UID != nil && *want.UID != o.GetUID() {
		return fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *want.UID, o.GetUID()) //nolint:staticcheck // upstream's words
	}
	if v := want.ResourceVersion; v != nil && *v != o.GetResourceVersion() {
		return fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *v, o.GetResourceVersion()) //nolint:staticcheck // upstream's words
	}
	return nil
}
