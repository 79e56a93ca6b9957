package runtime_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"
)

var realClock clock.Clock = clock.RealClock{}

// recorder is a cri.Sink that keeps what it gets.
type recorder struct {
	connected chan struct{}
	once      sync.Once
	mu        sync.Mutex
	events    []*runtimeapi.ContainerEventResponse
	changed   chan struct{}
}

func newRecorder() *recorder {
	return &recorder{connected: make(chan struct{}), changed: make(chan struct{}, 1)}
}

func (r *recorder) Connected() { r.once.Do(func() { close(r.connected) }) }

func (r *recorder) Event(e *runtimeapi.ContainerEventResponse) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// of lists the types of an ID's events, in order.
func (r *recorder) of(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		if e.ContainerId == id {
			name := strings.TrimSuffix(strings.TrimPrefix(e.ContainerEventType.String(), "CONTAINER_"), "_EVENT")
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// wait returns once the event has come.
func (r *recorder) wait(t *testing.T, id string, typ runtimeapi.ContainerEventType) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		r.mu.Lock()
		for _, e := range r.events {
			if e.ContainerId == id && e.ContainerEventType == typ {
				r.mu.Unlock()
				return
			}
		}
		r.mu.Unlock()
		select {
		case <-r.changed:
		case <-timeout:
			t.Fatalf("no %s of %s; got %s", typ, id, r.of(id))
		}
	}
}
