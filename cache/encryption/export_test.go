package encryption

import (
	"context"
	"log/slog"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kms/pkg/service"
	"k8s.io/utils/clock"
)

// WithPlugin encrypts Secrets with one plugin that is in this process.
func WithPlugin(ctx context.Context, name string, s service.Service, recovered func()) *Encryption {
	e := &Encryption{options: Options{Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)}}
	e.ctx, e.stop = context.WithCancel(ctx)
	p := newPlugin(e.ctx, name, s, e.options, recovered)
	e.rules.Store(&rules{
		chains:  map[schema.GroupResource]chain{{Resource: "secrets"}: {{[]byte(prefixKMS + name + ":"), p.transformer}}},
		plugins: []*plugin{p},
	})
	e.running.Go(func() { p.run(e.ctx) })
	return e
}
