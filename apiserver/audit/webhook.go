package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// buffer is how many events wait to be posted.
	buffer = 10000
	// maxBatch events are posted at once, and none waits longer than maxWait.
	maxBatch = 400
	maxWait  = 30 * time.Second
	// A batch is tried so often, with growing pauses.
	tries      = 5
	firstPause = time.Second
	postLimit  = 30 * time.Second
	// closing is how long Close waits for what has not been posted.
	closing = 5 * time.Second
)

// webhook is a sink that posts batches.
type webhook struct {
	url    string
	client *http.Client
	log    *slog.Logger
	queue  chan *auditv1.Event
	lost   atomic.Int64

	stop context.CancelFunc
	done sync.WaitGroup
	end  chan struct{}
	once sync.Once
}

// NewWebhook posts events to the server that a kubeconfig names, with the
// credentials that it has.
func NewWebhook(kubeconfig string, log *slog.Logger) (Sink, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("audit webhook: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("audit webhook: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx, cancel := context.WithCancel(context.Background())
	w := &webhook{url: config.Host, client: client, log: log, queue: make(chan *auditv1.Event, buffer), stop: cancel, end: make(chan struct{})}
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// Take implements Sink. It never waits: what does not fit into the queue is
// lost.
func (w *webhook) Take(e *auditv1.Event) {
	select {
	case w.queue <- e:
	default:
		if n := w.lost.Add(1); n == 1 || n%1000 == 0 {
			w.log.Error("the audit webhook is too slow: events are lost", "url", w.url, "lost", n)
		}
	}
}

func (w *webhook) run(ctx context.Context) {
	for {
		batch, more := w.batch()
		if len(batch) > 0 {
			w.post(ctx, batch)
		}
		if !more {
			return
		}
	}
}

// batch waits for events: until there are enough, or the first has waited long
// enough, or the sink is closed. Then more is false once nothing is left.
func (w *webhook) batch() (batch []auditv1.Event, more bool) {
	var late <-chan time.Time
	for len(batch) < maxBatch {
		e, more := w.next(late)
		if e == nil {
			return batch, more
		}
		if batch = append(batch, *e); late == nil {
			t := time.NewTimer(maxWait)
			defer t.Stop()
			late = t.C
		}
	}
	return batch, true
}

// next waits for one event, or returns none where it is too late for one. What
// is in the queue comes before everything else.
func (w *webhook) next(late <-chan time.Time) (e *auditv1.Event, more bool) {
	select {
	case e := <-w.queue:
		return e, true
	default:
	}
	select {
	case e := <-w.queue:
		return e, true
	case <-late:
		return nil, true
	case <-w.end:
	}
	select {
	case e := <-w.queue:
		return e, true
	default:
		return nil, false
	}
}

// post sends a batch, a few times if need be.
func (w *webhook) post(ctx context.Context, batch []auditv1.Event) {
	body, err := json.Marshal(&auditv1.EventList{
		TypeMeta: metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "EventList"}, Items: batch,
	})
	if err != nil {
		w.log.Error("audit events could not be encoded", "err", err)
		return
	}
	pause := firstPause
	for try := 1; ; try++ {
		err := w.send(ctx, body)
		if err == nil {
			return
		}
		if try == tries || ctx.Err() != nil {
			w.lost.Add(int64(len(batch)))
			w.log.Error("audit events could not be posted, and are lost", "url", w.url, "events", len(batch), "err", err)
			return
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
		}
	}
}

func (w *webhook) send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, postLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the audit webhook has answered %s", resp.Status)
	}
	return nil
}

// Close implements Sink.
func (w *webhook) Close() {
	w.once.Do(func() {
		close(w.end)
		t := time.AfterFunc(closing, w.stop)
		w.done.Wait()
		t.Stop()
		w.stop()
		w.client.CloseIdleConnections()
	})
}
