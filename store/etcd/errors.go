package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"proa/store"
)

// classify finds the error of package store that an error of etcd is, or nil
// where it is none of them.
func classify(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return store.ErrCompacted
	case errors.Is(err, rpctypes.ErrFutureRev):
		return store.ErrFuture
	case errors.Is(err, rpctypes.ErrNoSpace):
		return store.ErrNoSpace
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return store.ErrTooLarge
	case errors.Is(err, rpctypes.ErrTooManyRequests), errors.Is(err, rpctypes.ErrLeaseNotFound):
		return store.ErrUnavailable
	}
	switch code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		return store.ErrUnavailable
	case codes.ResourceExhausted:
		return store.ErrTooLarge
	}
	return nil
}

func code(err error) codes.Code {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code()
	}
	return status.Code(err)
}

// readError translates the error of an operation that changes nothing.
func readError(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s: %w: %w", what, kind, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// writeError translates the error of an operation that may have changed
// something. What etcd refused did not happen; whatever else went wrong, it
// may have.
func writeError(ctx context.Context, what string, err error) error {
	kind := classify(err)
	lost := kind == store.ErrUnavailable && !errors.Is(err, rpctypes.ErrTooManyRequests) && !errors.Is(err, rpctypes.ErrLeaseNotFound)
	if lost || ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w: %w", what, store.ErrUncertain, err)
	}
	return readError(what, err)
}

// Errors of Open that callers may ask for.
var (
	// ErrLocked: another process uses the data directory.
	ErrLocked = errors.New("data directory is in use")
	// ErrNewer: a newer version has written the data directory.
	ErrNewer = errors.New("data directory was written by a newer version")
)

// errDamaged: etcd panicked on what it read.
var errDamaged = errors.New("etcd cannot make sense of it")

// openError says in one line why an embedded etcd could not begin with the
// directory, and what to do.
func openError(dir string, err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, ErrLocked), errors.Is(err, ErrNewer), errors.Is(err, store.ErrNoSpace):
		return err
	case strings.Contains(text, "cannot downgrade storage"), strings.Contains(text, "unsupported storage version"),
		strings.Contains(text, "version is not supported"), strings.Contains(text, "target version"):
		return fmt.Errorf("%w: %s: use the version that wrote it, or restore a backup (%s)", ErrNewer, dir, text)
	case errors.Is(err, syscall.ENOSPC), strings.Contains(text, syscall.ENOSPC.Error()):
		return fmt.Errorf("%w: the disk of %s is full: free some of it and start again", store.ErrNoSpace, dir)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("data directory %s is on a read-only file system: choose another or remount it", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("data directory %s cannot be used by this user: run as its owner, or choose another (%w)", dir, err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("data directory %s is not a directory: choose another", dir)
	case errors.Is(err, errDamaged), strings.Contains(text, "crc mismatch"), strings.Contains(text, "cannot be repaired"), strings.Contains(text, "file corruption"):
		return fmt.Errorf("data directory %s is damaged: restore a backup (%w)", dir, err)
	}
	return fmt.Errorf("start etcd in %s: %w", dir, err)
}
