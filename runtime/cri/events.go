package cri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// ErrNoEvents means that the runtime has no event stream; its state has to be
// listed then.
var ErrNoEvents = errors.New("the container runtime has no event stream")

// EventSource is the part of a runtime service that Watch uses.
type EventSource interface {
	GetContainerEvents(ctx context.Context, ch chan *runtimeapi.ContainerEventResponse,
		connected func(runtimeapi.RuntimeService_GetContainerEventsClient)) error
}

// Sink receives the events, one at a time. It should hand them on: while it
// runs, nothing is read from the runtime.
type Sink interface {
	// Connected is called when a stream is established, before its first
	// event: whatever happened before may have gone unseen, so list now.
	Connected()
	// Event is called for each event, in the runtime's order.
	Event(*runtimeapi.ContainerEventResponse)
}

// Watch delivers the runtime's events to sink until ctx ends, which is the only
// way it returns nil. A stream that breaks is opened again, at once if it had
// worked for a while, else after a growing delay of at most maxRetry. It returns
// ErrNoEvents if the runtime does not have a stream at all.
func Watch(ctx context.Context, source EventSource, sink Sink, clk clock.Clock, log *slog.Logger) error {
	wait := minRetry
	for {
		began := clk.Now()
		err := stream(ctx, source, sink)
		if ctx.Err() != nil {
			return nil
		}
		if status.Code(err) == codes.Unimplemented {
			return fmt.Errorf("%w: %w", ErrNoEvents, err)
		}
		wait = nextWait(wait, clk.Since(began))
		log.Warn("container event stream broke, opening it again", "err", err, "in", wait)
		timer := clk.NewTimer(wait)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// nextWait is how long to wait after a stream that lasted so long.
func nextWait(last, lasted time.Duration) time.Duration {
	if lasted > maxRetry {
		return minRetry
	}
	return min(2*last, maxRetry)
}

// buffered events per stream; more wait in the runtime.
const buffered = 64

// stream follows one stream to its end. It does not leave the source's goroutine
// behind, which sends without looking whether anybody still receives.
func stream(ctx context.Context, source EventSource, sink Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The client logs an error for every stream that ends; Watch knows better
	// which end is one.
	ctx = klog.NewContext(ctx, logr.Discard())
	events := make(chan *runtimeapi.ContainerEventResponse, buffered)
	connected := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- source.GetContainerEvents(ctx, events, func(runtimeapi.RuntimeService_GetContainerEventsClient) {
			close(connected)
		})
	}()
	select {
	case <-connected:
	case err := <-ended:
		return streamEnd(err)
	}
	sink.Connected()
	for {
		select {
		case e := <-events:
			if ctx.Err() == nil {
				sink.Event(e)
			}
		case err := <-ended:
			for {
				select {
				case e := <-events:
					if ctx.Err() == nil {
						sink.Event(e)
					}
					continue
				default:
				}
				return streamEnd(err)
			}
		}
	}
}

func streamEnd(err error) error {
	if err == nil {
		return errors.New("ended by the runtime")
	}
	return err
}
