package bootstrap

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// parallel bounds the writes under way at once. A store that groups
	// commits makes them nearly as fast as one.
	parallel = 64
	// rounds bounds how often Ensure starts over when others write at the same
	// time, such as a second server that starts.
	rounds = 5
)

// Ensure brings a cluster to have at least the default policy. The client must
// be allowed everything. A cluster that has it already costs four lists.
func Ensure(ctx context.Context, c kubernetes.Interface) error {
	var err error
	for range rounds {
		var have Policy
		if have, err = List(ctx, c); err != nil {
			return err
		}
		w := Plan(have, Default())
		if w.Empty() {
			return nil
		}
		if err = apply(ctx, c, w); err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("write the default RBAC policy: %w", err)
		}
	}
	return fmt.Errorf("write the default RBAC policy, against others who write it: %w", err)
}

// List reads the policy of a cluster, of namespaces only those that the
// default policy speaks of: a cluster may have very many others.
func List(ctx context.Context, c kubernetes.Interface) (Policy, error) {
	var clusterRoles *rbacv1.ClusterRoleList
	var clusterBindings *rbacv1.ClusterRoleBindingList
	var roles [2]*rbacv1.RoleList
	var bindings [2]*rbacv1.RoleBindingList
	g, ctx := errgroup.WithContext(ctx)
	o := metav1.ListOptions{}
	g.Go(func() (err error) { clusterRoles, err = c.RbacV1().ClusterRoles().List(ctx, o); return })
	g.Go(func() (err error) { clusterBindings, err = c.RbacV1().ClusterRoleBindings().List(ctx, o); return })
	for i, ns := range []string{kubeSystem, kubePublic} {
		g.Go(func() (err error) { roles[i], err = c.RbacV1().Roles(ns).List(ctx, o); return })
		g.Go(func() (err error) { bindings[i], err = c.RbacV1().RoleBindings(ns).List(ctx, o); return })
	}
	if err := g.Wait(); err != nil {
		return Policy{}, fmt.Errorf("list the RBAC policy: %w", err)
	}
	p := Policy{ClusterRoles: pointers(clusterRoles.Items), ClusterRoleBindings: pointers(clusterBindings.Items)}
	for i := range roles {
		p.Roles = append(p.Roles, pointers(roles[i].Items)...)
		p.RoleBindings = append(p.RoleBindings, pointers(bindings[i].Items)...)
	}
	return p, nil
}

func pointers[T any](items []T) []*T {
	p := make([]*T, len(items))
	for i := range items {
		p[i] = &items[i]
	}
	return p
}

// apply makes the writes, many at a time. The first error ends it.
func apply(ctx context.Context, c kubernetes.Interface, w Writes) error {
	if err := ensureNamespaces(ctx, c, w.Create); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	r := c.RbacV1()
	each(g, w.Create.ClusterRoles, func(o *rbacv1.ClusterRole) error {
		_, err := r.ClusterRoles().Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	each(g, w.Update.ClusterRoles, func(o *rbacv1.ClusterRole) error {
		_, err := r.ClusterRoles().Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
	each(g, w.Create.Roles, func(o *rbacv1.Role) error {
		_, err := r.Roles(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	each(g, w.Update.Roles, func(o *rbacv1.Role) error {
		_, err := r.Roles(o.Namespace).Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
	each(g, w.Create.ClusterRoleBindings, func(o *rbacv1.ClusterRoleBinding) error {
		_, err := r.ClusterRoleBindings().Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	each(g, w.Update.ClusterRoleBindings, func(o *rbacv1.ClusterRoleBinding) error {
		_, err := r.ClusterRoleBindings().Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
	each(g, w.Create.RoleBindings, func(o *rbacv1.RoleBinding) error {
		_, err := r.RoleBindings(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	each(g, w.Update.RoleBindings, func(o *rbacv1.RoleBinding) error {
		_, err := r.RoleBindings(o.Namespace).Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
	each(g, w.Recreate.ClusterRoleBindings, func(o *rbacv1.ClusterRoleBinding) error {
		if err := r.ClusterRoleBindings().Delete(ctx, o.Name, *metav1.NewPreconditionDeleteOptions(string(o.UID))); err != nil {
			return err
		}
		o.ObjectMeta = fresh(o.ObjectMeta)
		_, err := r.ClusterRoleBindings().Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	each(g, w.Recreate.RoleBindings, func(o *rbacv1.RoleBinding) error {
		if err := r.RoleBindings(o.Namespace).Delete(ctx, o.Name, *metav1.NewPreconditionDeleteOptions(string(o.UID))); err != nil {
			return err
		}
		o.ObjectMeta = fresh(o.ObjectMeta)
		_, err := r.RoleBindings(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
		return err
	})
	return g.Wait()
}

func each[T any](g *errgroup.Group, list []T, do func(T) error) {
	for _, o := range list {
		g.Go(func() error { return do(o) })
	}
}

// fresh is the metadata of an object that is made again.
func fresh(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, Labels: m.Labels, Annotations: m.Annotations}
}

// ensureNamespaces makes the namespaces that are to hold something.
func ensureNamespaces(ctx context.Context, c kubernetes.Interface, p Policy) error {
	names := map[string]bool{}
	for _, r := range p.Roles {
		names[r.Namespace] = true
	}
	for _, b := range p.RoleBindings {
		names[b.Namespace] = true
	}
	for ns := range names {
		_, err := c.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
