// Package namespacelifecycle is the admission plugin NamespaceLifecycle: no
// object is made in a namespace that does not exist or is being removed, and
// the namespaces that a cluster cannot do without are not removed.
package namespacelifecycle

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/resource"
)

// Namespaces finds namespaces. It must know of every one that this server has
// written, and of others soon.
type Namespaces interface {
	Namespace(ctx context.Context, name string) (*corev1.Namespace, error)
}

// Plugin is the admission plugin. It is a mutator, so that it is asked before
// the others, though it changes nothing.
type Plugin struct{ namespaces Namespaces }

// New makes the plugin.
func New(n Namespaces) *Plugin { return &Plugin{n} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "NamespaceLifecycle" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, _ string) bool {
	switch {
	case admission.Is(def, "", "namespaces"):
		return op == admission.Delete
	case def.ClusterScoped, admission.Is(def, "authorization.k8s.io", "localsubjectaccessreviews"):
		// What a review says of a namespace does not depend on it, and must
		// not tell whether it exists.
		return false
	}
	return op == admission.Create || op == admission.Update
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	if a.Operation == admission.Delete {
		switch a.Name {
		case metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic:
			return apierrors.NewForbidden(a.GroupResource(), a.Name, errors.New("this namespace may not be deleted"))
		}
		return nil
	}
	if a.Namespace == "" {
		return nil
	}
	ns, err := p.namespaces.Namespace(ctx, a.Namespace)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return apierrors.NewInternalError(err)
	case a.Operation != admission.Create || ns.Status.Phase != corev1.NamespaceTerminating:
		return nil
	}
	refusal := apierrors.NewForbidden(a.GroupResource(), a.ObjectName(),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.Namespace))
	refusal.ErrStatus.Details.Causes = append(refusal.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: fmt.Sprintf("namespace %s is being terminated", a.Namespace),
		Field:   "metadata.namespace",
	})
	return refusal
}
