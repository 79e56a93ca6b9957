package cluster

import (
	"context"
	"log/slog"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"proa/apiserver/local"
	"proa/auth"
	"proa/cache/informer"
	"proa/node/hollow"
)

// startHollow runs the hollow nodes of the configuration, each under its own
// identity.
func (s *server) startHollow() error {
	if s.config.HollowNodes == 0 {
		return nil
	}
	c := local.Config(s.api.server.Handler(), nil, "kubelet")
	c.Transport = &local.Transport{Handler: s.api.server.Handler(), As: func(ctx context.Context) *auth.User {
		return hollow.User(hollow.NodeOf(ctx))
	}}
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return err
	}
	shared := informer.NewFactory(client, s.api.hub, s.api.table, 0)
	return startFleet(s.parts, hollow.Config{
		Names: hollow.Names(s.config.HollowNodes), Machine: hollow.DefaultMachine(), Timing: hollow.DefaultTiming(),
		Client: client, Informers: shared, Clock: s.clock, Log: s.log,
	})
}

func startFleet(p *parts, c hollow.Config) error {
	fleet, err := hollow.New(c)
	if err != nil {
		return err
	}
	p.run("hollow nodes", func(ctx context.Context) error {
		c.Informers.Start(ctx.Done())
		defer c.Informers.Shutdown()
		return fleet.Run(ctx)
	})
	return nil
}

// Hollow is a fleet of hollow nodes in a cluster elsewhere.
type Hollow struct {
	Nodes   int
	Machine hollow.Machine
	Timing  hollow.Timing
}

// RunHollow runs hollow nodes until ctx ends. The user of the kubeconfig reads
// nodes and pods, and impersonates the nodes for what they write.
func RunHollow(ctx context.Context, kubeconfig string, h Hollow, log *slog.Logger) error {
	c, _, err := remote(kubeconfig, "kubelet")
	if err != nil {
		return err
	}
	c = rest.CopyConfig(c)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return hollow.Impersonate(next) })
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return err
	}
	p := newParts(ctx)
	if err := startFleet(p, hollow.Config{
		Names: hollow.Names(h.Nodes), Machine: h.Machine, Timing: h.Timing,
		Client: client, Informers: hollowInformers(client), Clock: clock.RealClock{}, Log: log,
	}); err != nil {
		p.fail(err)
	}
	return p.wait()
}

// hollowInformers never list any state, however old: a pod that was deleted
// meanwhile would be started a second time.
func hollowInformers(client kubernetes.Interface) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		if o.ResourceVersion == "0" {
			o.ResourceVersion = ""
		}
	}))
}
