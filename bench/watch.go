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
	pods := b.client.CoreV1().Pods(watchSpace)
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	streams := make([]io.ReadCloser, b.plan.watchers)
	defer func() {
		for _, s := range streams {
			if s != nil {
				s.Close()
			}
		}
	}()
	for i := range streams {
		if streams[i], err = b.openWatch(ctx, list.ResourceVersion); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	received := make(chan error, 1)
	profiled := b.profileCPU(ctx, "watch")
	wall, used, err := b.cost(func() error {
		go func() {
			received <- parallel(ctx, len(streams), len(streams), func(_ context.Context, i int) error {
				return readFrames(streams[i], b.plan.events)
			})
		}()
		err := parallel(ctx, b.plan.events, b.plan.workers, func(ctx context.Context, i int) error {
			_, err := pods.Create(ctx, loadPod(fmt.Sprintf("watched-%d", i)), metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		return <-received
	})
	if err != nil {
		return err
	}
	deliveries := float64(b.plan.watchers * b.plan.events)
	b.figures[watchRate] = deliveries / wall.Seconds()
	b.figures[watchCPU] = 1000 * milliseconds(used) / deliveries
	return profiled()
}

// openWatch returns the body of a watch that the server has accepted.
func (b *bench) openWatch(ctx context.Context, from string) (io.ReadCloser, error) {
	client, err := b.cluster.client(protobuf, true)
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
