package cluster

import (
	"context"
	"log/slog"
	"time"
)

// Delays between attempts.
const (
	firstDelay = time.Second
	lastDelay  = time.Minute
)

// insist does what every cluster has: at once, or else again and again beside the
// rest of the process, until it succeeds. A new cluster never needs the second. But
// what a user has configured, a webhook that does not answer or a policy, may refuse
// what the server writes; that must not keep the server from starting, since only
// by it can the configuration be taken away.
func insist(ctx context.Context, p *parts, log *slog.Logger, what string, do func(context.Context) error) {
	err := do(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	p.run(what, func(ctx context.Context) error {
		for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
			log.Warn("what every cluster has could not be made; it is tried again", "what", what, "in", delay, "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(delay):
			}
			if err = do(ctx); err == nil {
				log.Info("what every cluster has is made now", "what", what)
				return nil
			}
		}
	})
}
