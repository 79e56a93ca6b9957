package crds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	clientv1 "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"proa/apiserver/local"
	"proa/auth"
	"proa/cache"
	"proa/cache/informer"
	"proa/controller"
	"proa/controller/customresource"
	"proa/resource"
)

// Controllers are the loops over definitions, which speak to the API server of
// the same process under its own name.
type Controllers struct {
	Table   *resource.Table
	Hub     *cache.Hub
	Handler http.Handler
	User    *auth.User
	Clock   clock.WithTicker
	Log     *slog.Logger
}

// Run runs the loops until ctx ends.
func (c *Controllers) Run(ctx context.Context) error {
	m, ok := c.Table.View().Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	if !ok {
		return errors.New("custom resources are not served")
	}
	config := local.Config(c.Handler, c.User, "kube-apiserver")
	client, err := clientv1.NewForConfig(config)
	if err != nil {
		return err
	}
	md, err := metadata.NewForConfig(local.Config(c.Handler, c.User, "kube-apiserver"))
	if err != nil {
		return err
	}
	env := controller.Env{Metadata: md, Clock: c.Clock, Log: c.Log}
	of := customresource.Config{Client: client.CustomResourceDefinitions(), Definitions: informer.NewInformer(c.Hub, m, 0)}
	var loops []controller.Controller
	for _, d := range []controller.Definition{customresource.Conditions(of), customresource.Finalizer(of)} {
		loop, err := d.New(env)
		if err != nil {
			return fmt.Errorf("controller %s: %w", d.Name, err)
		}
		loops = append(loops, loop)
	}
	var wg sync.WaitGroup
	wg.Go(func() { of.Definitions.RunWithContext(ctx) })
	for _, loop := range loops {
		wg.Go(func() {
			if err := loop.Run(ctx); err != nil && ctx.Err() == nil {
				c.Log.Error("a loop over custom resource definitions has ended", "err", err)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
