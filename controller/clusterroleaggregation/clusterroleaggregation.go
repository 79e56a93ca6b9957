// Package clusterroleaggregation keeps the rules of aggregated cluster roles:
// those of all roles that their selectors choose.
package clusterroleaggregation

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"

	"proa/auth/rbac"
	"proa/controller"
)

// Definition of the controller.
func Definition() controller.Definition {
	return controller.Definition{
		Name: "clusterrole-aggregation-controller", ServiceAccount: "clusterrole-aggregation-controller", New: newController,
	}
}

type aggregator struct {
	env   controller.Env
	loop  *controller.Loop[string]
	roles rbaclisters.ClusterRoleLister
}

func newController(env controller.Env) (controller.Controller, error) {
	informer := env.Informers.Rbac().V1().ClusterRoles()
	c := &aggregator{env: env, roles: informer.Lister()}
	c.loop = controller.NewLoop("clusterroleaggregation", env, 1, c.reconcile)
	if err := controller.Watch(c.loop, informer.Informer(), c.affected); err != nil {
		return nil, err
	}
	return c, nil
}

// Run implements controller.Controller.
func (c *aggregator) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// affected names the aggregated roles that a changed role may matter to: all
// of them, since a role may have lost the label by which it was chosen. There
// are few.
func (c *aggregator) affected(_, _ *rbacv1.ClusterRole, _ bool) []string {
	all, err := c.roles.List(labels.Everything())
	if err != nil {
		return nil
	}
	var names []string
	for _, r := range all {
		if r.AggregationRule != nil {
			names = append(names, r.Name)
		}
	}
	return names
}

func (c *aggregator) reconcile(ctx context.Context, name string) (controller.Result, error) {
	role, err := c.roles.Get(name)
	if apierrors.IsNotFound(err) || err == nil && role.AggregationRule == nil {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	all, err := c.roles.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	want, err := decide(role, all)
	if want == nil || err != nil {
		return controller.Done, err
	}
	_, err = c.env.Client.RbacV1().ClusterRoles().Update(ctx, want, metav1.UpdateOptions{})
	return controller.Done, err
}

// decide returns the role as it is to be, or nil where it is so already.
func decide(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) (*rbacv1.ClusterRole, error) {
	rules, err := rbac.Aggregate(role, all)
	if err != nil || equality.Semantic.DeepEqual(rules, role.Rules) {
		return nil, err
	}
	role = role.DeepCopy()
	role.Rules = rules
	return role, nil
}
