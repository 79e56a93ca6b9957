package cri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	internalapi "k8s.io/cri-api/pkg/apis"
	remote "k8s.io/cri-client/pkg"
)

// DefaultTimeout bounds a single call, as the node agent's
// --runtime-request-timeout does upstream. Pulling an image has no bound, and
// running a sandbox has twice this.
const DefaultTimeout = 2 * time.Minute

// Config says where the runtime is.
type Config struct {
	// Endpoint is a unix socket: unix:///path, or the bare path.
	Endpoint string
	// ImageEndpoint is that of the image service. Default: Endpoint.
	ImageEndpoint string
	// Timeout of a single call. Default: DefaultTimeout.
	Timeout time.Duration
	// Logger is told while the runtime does not answer. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Conn is a connection to a runtime. Its services are safe for concurrent use
// and reconnect by themselves.
type Conn struct {
	Runtime internalapi.RuntimeService
	Images  internalapi.ImageManagerService
}

// Waiting for a runtime that is starting: at first as short as an embedded one
// takes, later as upstream's client.
const (
	minRetry = 10 * time.Millisecond
	maxRetry = 3 * time.Second
)

// Connect connects, and waits for a runtime that does not answer yet until ctx
// ends. The error then has the runtime's last answer. A runtime that answers but
// does not speak CRI v1 fails at once.
func Connect(ctx context.Context, c Config) (*Conn, error) {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	endpoint, err := normalize(c.Endpoint)
	if err != nil {
		return nil, err
	}
	imageEndpoint := endpoint
	if c.ImageEndpoint != "" {
		if imageEndpoint, err = normalize(c.ImageEndpoint); err != nil {
			return nil, err
		}
	}
	var conn Conn
	err = retry(ctx, c.Logger, endpoint, func() (err error) {
		conn.Runtime, err = remote.NewRemoteRuntimeService(ctx, endpoint, c.Timeout, nil, false)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = retry(ctx, c.Logger, imageEndpoint, func() (err error) {
		conn.Images, err = remote.NewRemoteImageService(ctx, imageEndpoint, c.Timeout, nil, false)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, conn.Runtime.Close(context.WithoutCancel(ctx)))
	}
	return &conn, nil
}

// Close ends both connections.
func (c *Conn) Close(ctx context.Context) error {
	return errors.Join(c.Runtime.Close(ctx), c.Images.Close(ctx))
}

// retry repeats dial until it works, its failure is final, or ctx ends.
func retry(ctx context.Context, log *slog.Logger, endpoint string, dial func() error) error {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		err := dial()
		if err == nil {
			return nil
		}
		if final(err) {
			return fmt.Errorf("container runtime on %s does not speak CRI v1: %w", endpoint, err)
		}
		if wait == maxRetry {
			log.Warn("container runtime does not answer, trying again", "endpoint", endpoint, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("container runtime on %s does not answer (is it running, is the endpoint right?): %w", endpoint, err)
		}
	}
}

func final(err error) bool { return status.Code(err) == codes.Unimplemented }

// normalize gives an endpoint the scheme that cri-client asks for.
func normalize(endpoint string) (string, error) {
	switch {
	case endpoint == "":
		return "", errors.New("no container runtime endpoint is given")
	case strings.HasPrefix(endpoint, "/"):
		return "unix://" + endpoint, nil
	case strings.HasPrefix(endpoint, "unix:///"):
		return endpoint, nil
	default:
		return "", fmt.Errorf("container runtime endpoint %q is not of the form unix:///path/to.sock", endpoint)
	}
}
