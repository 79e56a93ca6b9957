package cri

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"
)

// scripted is a source whose streams do what the script says, one after another;
// past its end they block until their context ends.
type scripted struct {
	script []stream1
	calls  int
}

type stream1 struct {
	refused bool // before it is established
	events  []string
	lasts   time.Duration
	err     error
}

func (s *scripted) GetContainerEvents(ctx context.Context, ch chan *runtimeapi.ContainerEventResponse,
	connected func(runtimeapi.RuntimeService_GetContainerEventsClient)) error {
	if s.calls >= len(s.script) {
		s.calls++
		connected(nil)
		<-ctx.Done()
		return ctx.Err()
	}
	st := s.script[s.calls]
	s.calls++
	if st.refused {
		return st.err
	}
	connected(nil)
	for _, id := range st.events {
		ch <- &runtimeapi.ContainerEventResponse{ContainerId: id}
	}
	time.Sleep(st.lasts)
	return st.err
}

// log is a sink that writes down what it is told.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) Connected() { l.add("connected") }

func (l *log) Event(e *runtimeapi.ContainerEventResponse) { l.add(e.ContainerId) }

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, s)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, " ")
}

func TestWatchReconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := status.Error(codes.Unavailable, "broken")
		source := &scripted{script: []stream1{
			{events: []string{"a", "b"}, err: broken},
			{refused: true, err: broken},
			{refused: true, err: broken},
			{events: []string{"c"}, lasts: time.Minute, err: nil},
		}}
		var sink log
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- Watch(ctx, source, &sink, clock.RealClock{}, slog.New(slog.DiscardHandler)) }()
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got, want := sink.String(), "connected a b connected c connected"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
		if source.calls != 5 {
			t.Errorf("%d streams in %v, want 5", source.calls, time.Since(began))
		}
	})
}

func TestWatchWithoutEvents(t *testing.T) {
	t.Parallel()
	source := &scripted{script: []stream1{{err: status.Error(codes.Unimplemented, "no such method")}}}
	err := Watch(t.Context(), source, &log{}, clock.RealClock{}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrNoEvents) {
		t.Errorf("got %v, want %v", err, ErrNoEvents)
	}
}

// More events than are buffered, and a sink that is slow, when the end comes.
func TestWatchEndsWhileBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &scripted{script: []stream1{{events: make([]string, 4*buffered), err: errors.New("end")}}}
		ctx, cancel := context.WithCancel(t.Context())
		sink := cancelling{cancel: cancel}
		if err := Watch(ctx, source, &sink, clock.RealClock{}, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
		if sink.events != 1 {
			t.Errorf("%d events delivered after the context ended", sink.events-1)
		}
	})
}

type cancelling struct {
	cancel context.CancelFunc
	events int
}

func (c *cancelling) Connected() {}

func (c *cancelling) Event(*runtimeapi.ContainerEventResponse) {
	c.events++
	c.cancel()
}

func TestNextWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ last, lasted, want time.Duration }{
		{minRetry, 0, 2 * minRetry},
		{2 * time.Second, 0, maxRetry},
		{maxRetry, 0, maxRetry},
		{maxRetry, time.Hour, minRetry},
	} {
		if got := nextWait(tt.last, tt.lasted); got != tt.want {
			t.Errorf("after %v and a stream of %v: %v, want %v", tt.last, tt.lasted, got, tt.want)
		}
	}
}
