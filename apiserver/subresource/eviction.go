package subresource

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/apiserver/connect"
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
	c, err := p.call(in.Call, "delete", in.Namespace, in.Name)
	if err != nil {
		return nil, err
	}
	if _, _, err := p.api.Delete(ctx, c, o); err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
}
