package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/client-go/informers"
	"k8s.io/utils/clock"
)

// Clients gives each controller its own identity.
type Clients interface {
	// For returns an Env whose clients and recorder speak as the service
	// account in kube-system. Informers, Clock and Log are filled in by the
	// manager.
	For(serviceAccount string) (Env, error)
}

// Manager runs a list of controllers over one set of informers.
type Manager struct {
	Clients   Clients
	Informers informers.SharedInformerFactory
	Clock     clock.WithTicker
	Log       *slog.Logger
}

// Run makes and runs the controllers until ctx ends, then waits for all of
// them. A controller that cannot be made, or that stops early with an error,
// ends the others and is the error returned: a control plane without one of
// its loops would look healthy and do half its work.
func (m *Manager) Run(ctx context.Context, defs []Definition) error {
	made := make([]Controller, len(defs))
	for i, d := range defs {
		env, err := m.Clients.For(d.ServiceAccount)
		if err != nil {
			return fmt.Errorf("controller %s: credentials: %w", d.Name, err)
		}
		env.Informers, env.Clock = m.Informers, m.Clock
		env.Log = m.Log.With("controller", d.Name)
		if made[i], err = d.New(env); err != nil {
			return fmt.Errorf("controller %s: %w", d.Name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.Informers.Start(ctx.Done())
	var wg sync.WaitGroup
	for i, c := range made {
		wg.Go(func() {
			if err := c.Run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("controller %s: %w", defs[i].Name, err))
			}
		})
	}
	wg.Wait()
	m.Informers.Shutdown()
	if err := context.Cause(ctx); err != nil && err != context.Canceled {
		return err
	}
	return nil
}
