package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"proa/apiserver/managed"
	"proa/cache"
	"proa/pki"
	"proa/scheduler"
	"proa/store"
)

// ControlPlane is API server, controllers and scheduler in this process, put
// together as the server puts them, but without a socket, a file or a clock of
// its own: for simulations of the whole. Its scheduler records no events, since
// client-go's recorder holds a lock while it waits for the API server, and where
// time is not real nothing may wait for a lock.
type ControlPlane struct {
	Store     store.Store
	Authority *pki.Authority
	Clock     clock.WithTicker
	// Seed of the scheduler's choices.
	Seed uint64
	// Managed may be shared by control planes that follow each other.
	Managed *managed.Tracker
	// Guard is that of cache.Options.
	Guard int
	Log   *slog.Logger
	// Answering is called when requests are answered, before what every cluster
	// has is made.
	Answering func(http.Handler, *cache.Hub)
}

// Run runs it until ctx ends.
func (c *ControlPlane) Run(ctx context.Context) error {
	s := &server{log: c.Log, parts: newParts(ctx), store: c.Store, authority: c.Authority, clock: c.Clock}
	if err := c.start(s.parts.context(), s); err != nil {
		s.parts.fail(err)
	}
	return s.parts.wait()
}

func (c *ControlPlane) start(ctx context.Context, s *server) error {
	services := netip.MustParsePrefix("10.43.0.0/16")
	bootstrap := newBootstrapping()
	var err error
	if s.api, err = startAPI(ctx, s.parts, apiConfig{
		store: c.Store, authority: c.Authority, serviceIP: services.Addr().Next().String(), services: services, bootstrap: bootstrap,
		clock: c.Clock, managed: c.Managed, guard: c.Guard, log: c.Log,
	}); err != nil {
		return err
	}
	c.Answering(s.api.server.Handler(), s.api.hub)
	admin, err := s.client(apiserverUser(), "proa")
	if err != nil {
		return err
	}
	if err := bootstrap.ensure(ctx, s.parts, s.api, admin, c.Authority); err != nil {
		return fmt.Errorf("make what every cluster has: %w", err)
	}
	s.startControllers(ControllersConfig{}) // nodes have no pod network here
	client, shared, err := s.schedulerClients()
	if err != nil {
		return err
	}
	return runScheduler(s.parts, scheduler.Config{Client: client, Informers: shared, Log: c.Log, Seed: c.Seed, Events: &events.FakeRecorder{}})
}
