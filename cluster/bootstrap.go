package cluster

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"proa/admission/priority"
	"proa/apiserver/fairness"
	"proa/apiserver/health"
	"proa/apiserver/local"
	"proa/auth/rbac/bootstrap"
	"proa/network/ipalloc"
	"proa/pki"
)

// bootstrapping are the steps that make what every cluster has from the
// beginning: the system's namespaces, the default RBAC policy, the system's
// priority classes, the ranges of cluster IPs, and what servers beside this one
// authenticate by. A server is not ready before them; their names are upstream's.
type bootstrapping struct {
	namespaces, policy, priorities, serviceCIDR, authentication health.Hook
}

func newBootstrapping() *bootstrapping {
	return &bootstrapping{
		namespaces:     health.Hook{Name: "poststarthook/start-system-namespaces-controller"},
		policy:         health.Hook{Name: "poststarthook/rbac/bootstrap-roles"},
		priorities:     health.Hook{Name: "poststarthook/scheduling/bootstrap-system-priority-classes"},
		serviceCIDR:    health.Hook{Name: "poststarthook/start-kubernetes-service-cidr-controller"},
		authentication: health.Hook{Name: "poststarthook/start-cluster-authentication-info-controller"},
	}
}

func (b *bootstrapping) checks() []health.Check {
	return []health.Check{b.namespaces.Check(), b.policy.Check(), b.priorities.Check(), b.serviceCIDR.Check(), b.authentication.Check()}
}

// ensure makes what is missing. What is there stays as it is, but for policy
// that has lost a rule, and certificates that were renewed. What the server has
// to keep while it runs is kept by parts.
func (b *bootstrapping) ensure(ctx context.Context, p *parts, a *api, c kubernetes.Interface, authority *pki.Authority) error {
	services := ipalloc.Default{Client: c, Ranges: a.services, Log: a.log}
	if err := ensureNamespaces(ctx, c); err != nil {
		return err
	}
	b.namespaces.Done()
	var made sync.WaitGroup
	for hook, make := range map[*health.Hook]func(context.Context) error{
		&b.policy:         func(ctx context.Context) error { return bootstrap.Ensure(ctx, c) },
		&b.priorities:     func(ctx context.Context) error { return priority.EnsureSystem(ctx, c.SchedulingV1().PriorityClasses()) },
		&b.serviceCIDR:    services.Ensure,
		&b.authentication: func(ctx context.Context) error { return publishAuthentication(ctx, c, authority) },
	} {
		made.Go(func() {
			insist(ctx, p, a.log, hook.Name, func(ctx context.Context) error {
				err := make(ctx)
				if err == nil {
					hook.Done()
				}
				return err
			})
		})
	}
	made.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.run("default service range", func(ctx context.Context) error {
		return services.Run(ctx, a.hub, a.definition("networking.k8s.io", "v1", "servicecidrs"))
	})
	priorities := fairness.Objects{
		Fairness: a.priorities, Client: c, Hub: a.hub, Log: a.log,
		Schemas: a.definition("flowcontrol.apiserver.k8s.io", "v1", "flowschemas"),
		Levels:  a.definition("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations"),
	}
	p.run("flow schemas and priority levels", priorities.Run)
	untyped, err := dynamic.NewForConfig(local.Config(a.server.Handler(), apiserverUser(), "proa"))
	if err != nil {
		return err
	}
	p.run("API services", func(ctx context.Context) error { return a.aggregator.Run(ctx, untyped) })
	return nil
}

func ensureNamespaces(ctx context.Context, c kubernetes.Interface) error {
	for _, name := range []string{metav1.NamespaceSystem, metav1.NamespaceDefault, metav1.NamespacePublic, v1.NamespaceNodeLease} {
		_, err := c.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = c.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
	}
	return nil
}
