package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
)

const watchSpace = "watched"

// measureWatch lets many watchers, each with a connection of its own, receive
// the same events. The watchers count the frames that arrive and decode none:
// the figure is the server's, not the client's.
func (b *bench) measureWatch(ctx context.Context) error {
	if err := b.namespace(ctx, watchSpace); err != nil {
		return err
	}
	a, err := b.openWatches(ctx, b.plan.watchers)
	defer a.close()
	if err != nil {
		return err
	}
	profiled := b.profileCPU(ctx, "watch")
	wall, used, err := b.cost(func() error { return a.fanOut("watched", b.plan.events) })
	if err != nil {
		return err
	}
	deliveries := float64(b.plan.watchers * b.plan.events)
	b.figures[watchRate] = deliveries / wall.Seconds()
	b.figures[watchCPU] = 1000 * milliseconds(used) / deliveries
	return profiled()
}

// audience is many watchers of the same events.
type audience struct {
	*subject
	ctx      context.Context // ends the watches
	cancel   context.CancelFunc
	watchers []*watcher
}

// watcher reads one watch. It is used by one goroutine at a time.
type watcher struct {
	client kubernetes.Interface // on a connection of its own
	body   io.ReadCloser
	from   string // the resource version that it has seen
}

// openWatches begins so many watches after all that there is. The audience is to
// be closed, with an error too.
func (s *subject) openWatches(ctx context.Context, n int) (*audience, error) {
	a := &audience{subject: s}
	a.ctx, a.cancel = context.WithCancel(ctx)
	list, err := s.client.CoreV1().Pods(watchSpace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return a, fmt.Errorf("list: %w", err)
	}
	for range n {
		client, err := s.side.client(protobuf, true)
		if err != nil {
			return a, err
		}
		w := &watcher{client: client, from: list.ResourceVersion}
		if err := w.open(a.ctx); err != nil {
			return a, fmt.Errorf("watch: %w", err)
		}
		a.watchers = append(a.watchers, w)
	}
	return a, nil
}

func (a *audience) close() {
	a.cancel()
	for _, w := range a.watchers {
		if w.body != nil {
			w.body.Close()
		}
	}
}

// fanOut creates pods, and returns when every watcher has seen all of them.
func (a *audience) fanOut(prefix string, events int) error {
	received := make(chan error, 1)
	go func() {
		received <- parallel(a.ctx, len(a.watchers), len(a.watchers), func(_ context.Context, i int) error {
			return a.receive(a.watchers[i], events)
		})
	}()
	err := parallel(a.ctx, events, a.plan.workers, func(ctx context.Context, i int) error {
		_, err := a.client.CoreV1().Pods(watchSpace).Create(ctx, loadPod(fmt.Sprintf("%s-%d", prefix, i)), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		a.cancel() // ends those who read
		return errors.Join(fmt.Errorf("create: %w", err), <-received)
	}
	return <-received
}

// Delays between attempts to watch again.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 2 * time.Second
)

// receive reads n events. A server cuts a watch of which the reader falls behind,
// as may happen where they share the cores; another then begins where it ended,
// as any client's does.
func (a *audience) receive(w *watcher, n int) error {
	for {
		read, err := w.read(n)
		if err != nil {
			return err
		}
		if n -= read; n == 0 {
			return nil
		}
		w.body.Close()
		for wait := firstWait; ; wait = min(2*wait, lastWait) {
			if err = w.open(a.ctx); err == nil {
				break
			}
			if paused := pause(a.ctx, wait); paused != nil {
				return fmt.Errorf("%d events have not come: %w: %w", n, paused, err)
			}
		}
	}
}

// open begins the watch, and returns when the server has accepted it.
func (w *watcher) open(ctx context.Context) (err error) {
	w.body, err = w.client.CoreV1().RESTClient().Get().Namespace(watchSpace).Resource("pods").
		SetHeader("Accept", watchType).Param("watch", "true").Param("resourceVersion", w.from).Stream(ctx)
	return err
}

// watchType is protobuf in frames that carry their length.
const watchType = protobuf + ";stream=watch"

// frameLimit is the largest event that is read.
const frameLimit = 64 << 10

// read reads up to n frames. Where the watch ends before, it notes how far it has
// come, for which it decodes the last frame.
func (w *watcher) read(n int) (read int, err error) {
	frames := serializer.LengthDelimitedFramer.NewFrameReader(w.body)
	last, next := make([]byte, frameLimit), make([]byte, frameLimit)
	size := 0
	for read < n {
		k, err := frames.Read(next)
		if err != nil {
			if errors.Is(err, io.ErrShortBuffer) {
				return read, fmt.Errorf("an event of more than %d bytes: %w", frameLimit, err)
			}
			// The watch has ended.
			if size > 0 {
				w.from, err = versionOf(last[:size])
				return read, err
			}
			return read, nil
		}
		last, next, size = next, last, k
		read++
	}
	return read, nil
}

// versionOf is the resource version of a watch's event.
func versionOf(frame []byte) (string, error) {
	var e metav1.WatchEvent
	if err := e.Unmarshal(frame); err != nil {
		return "", fmt.Errorf("event: %w", err)
	}
	if e.Type == string(watch.Error) {
		return "", fmt.Errorf("the server ended a watch with an error: %q", e.Object.Raw)
	}
	o, _, err := scheme.Codecs.UniversalDeserializer().Decode(e.Object.Raw, nil, nil)
	if err != nil {
		return "", fmt.Errorf("event of type %s: %w", e.Type, err)
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return "", fmt.Errorf("event of type %s: %w", e.Type, err)
	}
	return m.GetResourceVersion(), nil
}
