package cluster

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"proa/admission/priority"
	"proa/auth/rbac/bootstrap"
	"proa/pki"
)

// ensureObjects makes what every cluster has from the beginning: the system's
// namespaces, the default RBAC policy, the system's priority classes, and what
// servers beside this one authenticate by. What is there stays as it is, but
// for policy that has lost a rule, and certificates that were renewed.
func ensureObjects(ctx context.Context, c kubernetes.Interface, authority *pki.Authority) error {
	for _, name := range []string{metav1.NamespaceSystem, metav1.NamespaceDefault, metav1.NamespacePublic, v1.NamespaceNodeLease} {
		_, err := c.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = c.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return bootstrap.Ensure(ctx, c) })
	g.Go(func() error { return priority.EnsureSystem(ctx, c.SchedulingV1().PriorityClasses()) })
	g.Go(func() error { return publishAuthentication(ctx, c, authority) })
	return g.Wait()
}
