package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

const watchSpace = "watched"

// measureWatch lets many watchers, each with a connection of its own, receive
// the same events. The watchers count the frames that arrive and decode none:
// the figure is the server's, not the client's.
func (b *bench) measureWatch(ctx context.Context) error {
	if err := b.namespace(ctx, watchSpace); err != nil {
		return err
	}
	streams, err := b.openWatches(ctx, b.plan.watchers)
	defer closeAll(streams)
	if err != nil {
		return err
	}
	profiled := b.profileCPU(ctx, "watch")
	wall, used, err := b.cost(func() error { return b.fanOut(ctx, streams, "watched", b.plan.events) })
	if err != nil {
		return err
	}
	deliveries := float64(b.plan.watchers * b.plan.events)
	b.figures[watchRate] = deliveries / wall.Seconds()
	b.figures[watchCPU] = 1000 * milliseconds(used) / deliveries
	return profiled()
}

// openWatches begins so many watches after all that there is. What was opened is
// returned with the error, too.
func (s *subject) openWatches(ctx context.Context, n int) ([]io.ReadCloser, error) {
	list, err := s.client.CoreV1().Pods(watchSpace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	var streams []io.ReadCloser
	for range n {
		stream, err := s.openWatch(ctx, list.ResourceVersion)
		if err != nil {
			return streams, fmt.Errorf("watch: %w", err)
		}
		streams = append(streams, stream)
	}
	return streams, nil
}

func closeAll(streams []io.ReadCloser) {
	for _, s := range streams {
		s.Close()
	}
}

// fanOut creates pods, and returns when every watcher has seen all of them.
func (s *subject) fanOut(ctx context.Context, streams []io.ReadCloser, prefix string, events int) error {
	received := make(chan error, 1)
	go func() {
		received <- parallel(ctx, len(streams), len(streams), func(_ context.Context, i int) error {
			return readFrames(streams[i], events)
		})
	}()
	err := parallel(ctx, events, s.plan.workers, func(ctx context.Context, i int) error {
		_, err := s.client.CoreV1().Pods(watchSpace).Create(ctx, loadPod(fmt.Sprintf("%s-%d", prefix, i)), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		closeAll(streams) // ends those who read
		return errors.Join(fmt.Errorf("create: %w", err), <-received)
	}
	return <-received
}

// openWatch returns the body of a watch that the server has accepted.
func (s *subject) openWatch(ctx context.Context, from string) (io.ReadCloser, error) {
	client, err := s.side.client(protobuf, true)
	if err != nil {
		return nil, err
	}
	return client.CoreV1().RESTClient().Get().Namespace(watchSpace).Resource("pods").
		SetHeader("Accept", watchType).Param("watch", "true").Param("resourceVersion", from).Stream(ctx)
}

// watchType is protobuf in frames that carry their length.
const watchType = protobuf + ";stream=watch"

// frameLimit is the largest event that is read.
const frameLimit = 64 << 10

// readFrames reads n frames.
func readFrames(r io.ReadCloser, n int) error {
	frames := serializer.LengthDelimitedFramer.NewFrameReader(r)
	buf := make([]byte, frameLimit)
	for i := range n {
		if _, err := frames.Read(buf); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("after %d of %d events: %w", i, n, err)
		}
	}
	return nil
}
