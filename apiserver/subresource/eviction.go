package subresource

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/apiserver/connect"
	"proa/apiserver/rest"
	"proa/cache"
	"proa/resource"
)

func (p pods) eviction() connect.Handler {
	return connect.Handler{
		New:    func() runtime.Object { return new(policyv1.Eviction) },
		Kind:   policyv1.SchemeGroupVersion.WithKind("Eviction"),
		Answer: p.evict,
	}
}

// evictionTries bounds the attempts at a pod or budget that keeps changing.
const evictionTries = 20

// evict deletes a pod as a client with the right to evict, but not to delete,
// may have it done: as far as the budget allows that it is about.
func (p pods) evict(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	e := in.Object.(*policyv1.Eviction)
	if e.Name != in.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	o, err := evictionOptions(e, in.DryRun)
	if err != nil {
		return nil, err
	}
	atVersion := o.Preconditions != nil && o.Preconditions.ResourceVersion != nil
	for try := 0; ; try++ {
		final, err := p.tryEvict(ctx, in, o)
		switch {
		case err == nil:
			return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
		case final || atVersion || !apierrors.IsConflict(err) || try+1 == evictionTries:
			return nil, err
		}
		// The pod was free to go when it was looked at, and has changed. It is
		// looked at again: it may have become ready.
	}
}

// evictionOptions are those of the deletion.
func evictionOptions(e *policyv1.Eviction, dryRun bool) (*metav1.DeleteOptions, error) {
	o := e.DeleteOptions.DeepCopy()
	if o == nil {
		o = &metav1.DeleteOptions{}
	}
	if o.IgnoreStoreReadErrorWithClusterBreakingPotential != nil && *o.IgnoreStoreReadErrorWithClusterBreakingPotential {
		return nil, apierrors.NewInvalid(policyv1.SchemeGroupVersion.WithKind("Eviction").GroupKind(), e.Name, field.ErrorList{
			field.Invalid(field.NewPath("deleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential"), true,
				"can not be set for pod eviction, try after removing the option"),
		})
	}
	if dryRun && len(o.DryRun) == 0 {
		o.DryRun = []string{metav1.DryRunAll}
	}
	if errs := validation.ValidateDeleteOptions(o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	return o, nil
}

// tryEvict pays what the eviction costs and deletes the pod. final says that an
// error is not to be tried again: the budget refused, or has been charged and
// would be charged twice.
func (p pods) tryEvict(ctx context.Context, in *connect.Input, o *metav1.DeleteOptions) (final bool, err error) {
	c, err := p.call(in.Call, "get", in.Namespace, in.Name)
	if err != nil {
		return false, err
	}
	entry, err := p.api.Get(ctx, c, "")
	if err != nil {
		return false, err
	}
	pod := entry.Object.(*corev1.Pod)
	budget, err := p.budgetOf(ctx, pod)
	if err != nil {
		return false, err
	}
	o = o.DeepCopy()
	switch priceOf(pod, budget) {
	case one:
		if err := p.charge(ctx, in, budget.Name, pod.Name, len(o.DryRun) > 0); err != nil {
			return true, err
		}
		final = true
	case freeUnready:
		if o.Preconditions == nil {
			o.Preconditions = &metav1.Preconditions{}
		}
		if o.Preconditions.ResourceVersion == nil {
			// It must not have become ready since.
			version := pod.ResourceVersion
			o.Preconditions.ResourceVersion = &version
		}
	}
	if err := p.markEvicted(ctx, in, o); err != nil {
		return final, err
	}
	if c, err = p.call(in.Call, "delete", in.Namespace, in.Name); err != nil {
		return final, err
	}
	_, _, err = p.api.DeleteUnchecked(ctx, c, o)
	return final, err
}

var budgetResource = schema.GroupVersionResource{Group: policyv1.GroupName, Version: "v1", Resource: "poddisruptionbudgets"}

// budgets is the definition of disruption budgets.
func (p pods) budgets() (*resource.Definition, error) {
	m, ok := p.api.Table.View().Resource(budgetResource)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("disruption budgets are not served"))
	}
	return m.Definition, nil
}

// budgetOf returns the budget that a pod is under, or nil. A pod that disrupts
// nobody is not asked for its budgets, of which there may be too many.
func (p pods) budgetOf(ctx context.Context, pod *corev1.Pod) (*policyv1.PodDisruptionBudget, error) {
	if finished(pod) || pod.Status.Phase == corev1.PodPending {
		return nil, nil
	}
	d, err := p.budgets()
	if err != nil {
		return nil, err
	}
	list, err := p.api.Hub.Cache(d).List(ctx, cache.ListRequest{Predicate: cache.NewPredicate(d, nil, pod.Namespace, nil, nil)})
	if err != nil {
		if s := cache.Status(d, "", err); s != nil {
			return nil, s
		}
		return nil, err
	}
	var found *policyv1.PodDisruptionBudget
	for _, e := range list.Entries {
		b := e.Object.(*policyv1.PodDisruptionBudget)
		if !covers(b, pod) {
			continue
		}
		if found != nil {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
				Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
			}}
		}
		found = b
	}
	return found, nil
}

// charge takes one disruption from a budget.
func (p pods) charge(ctx context.Context, in *connect.Input, budget, pod string, dryRun bool) error {
	d, err := p.budgets()
	if err != nil {
		return err
	}
	_, err = p.api.Modify(ctx, p.api.Call(in.Call, d, "update", "status", in.Namespace, budget), rest.Modification{
		Unchecked: true, Hooks: rest.Untouched, DryRun: dryRun,
		Change: func(live resource.Object) (resource.Object, error) {
			b, err := spend(live.(*policyv1.PodDisruptionBudget), pod, in.Now.Rfc3339Copy())
			if err != nil {
				return nil, err
			}
			return b, nil
		},
	})
	return err
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
