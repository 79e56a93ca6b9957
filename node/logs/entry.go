// Package logs reads and rotates container logs in the CRI format.
package logs

import (
	"context"
	"io"
	"time"
)

// Options select what Read writes; they mirror PodLogOptions.
type Options struct {
	// Follow waits for more until Running says that the container ended.
	Follow bool
	// Tail is the number of last lines, or -1 for all.
	Tail int64
	// Since drops older lines unless zero.
	Since time.Time
	// LimitBytes ends the output after so many bytes; 0 is no limit.
	LimitBytes int64
	Timestamps bool
	// Running tells whether the container may still write. Needed to follow.
	Running func(ctx context.Context) (bool, error)
}

// Read copies the log at path to stdout and stderr (either may be nil).
func Read(ctx context.Context, path string, o Options, stdout, stderr io.Writer) error {
	return io.ErrUnexpectedEOF
}
