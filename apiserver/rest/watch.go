package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/request"
	"proa/apiserver/respond"
	"proa/cache"
)

// serveWatch streams changes until the client, the server or the time it asked
// for ends the watch. Once the request has been understood, what goes wrong is
// told as an event of type ERROR, as upstream does.
func (a *API) serveWatch(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	q, err := listOptions(c, true)
	if err != nil {
		return err
	}
	enc, err := newEventEncoder(c, out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.watchTimeout(q))
	defer cancel()
	if a.Draining != nil {
		stop := context.AfterFunc(a.Draining, cancel)
		defer stop()
	}
	var sink eventSink
	if isWebSocket(r) {
		if sink, err = newSocketSink(w, r, out, cancel); err != nil {
			return nil // the upgrader has answered
		}
	} else {
		begin(w, c)
		w.Header().Set("Content-Type", out.StreamContentType())
		w.WriteHeader(http.StatusOK)
		sink = newStreamSink(w)
	}
	defer sink.Close()
	// The client learns that the watch has begun before there is an event.
	if err := sink.Flush(); err != nil {
		return nil
	}
	a.pump(ctx, c, q, enc, sink)
	return nil
}

// pump moves events from the cache to the client.
func (a *API) pump(ctx context.Context, c *request.Call, q *query, enc *eventEncoder, sink eventSink) {
	d := c.Match.Definition
	cached := a.Hub.Cache(d)
	request := watchRequest(c, q)
	watch, err := cached.Watch(ctx, request)
	if err != nil {
		a.sendFailure(ctx, c, enc, sink, err)
		return
	}
	defer watch.Stop()
	if c.Begun != nil && !request.InitialEventsEnd {
		c.Begun()
	}
	rush := rush{turns: &a.turns}
	for {
		events, err := watch.Next(ctx)
		if err != nil {
			a.sendFailure(ctx, c, enc, sink, err)
			return
		}
		bytes := 0
		for i := range events {
			frame, err := enc.frame(&events[i])
			if err != nil {
				a.Log.Error("watch event cannot be encoded", "resource", d.GroupResource(), "err", err)
				a.sendFailure(ctx, c, enc, sink, err)
				return
			}
			bytes += len(frame)
			if err := sink.Write(frame); err != nil {
				return
			}
		}
		if err := sink.Flush(); err != nil {
			return
		}
		if c.Begun != nil && request.InitialEventsEnd && slices.ContainsFunc(events, func(e cache.WatchEvent) bool { return e.InitialEventsEnd }) {
			c.Begun()
		}
		if a.Observe != nil {
			a.Observe.WatchEvents(c.Group, c.Version, c.Match.Served.Kind, len(events), bytes)
		}
		rush.hold(ctx, len(events))
	}
}

// sendFailure ends a watch with an ERROR event, unless it was ended from
// outside.
func (a *API) sendFailure(ctx context.Context, c *request.Call, enc *eventEncoder, sink eventSink, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	s := respond.StatusOf(failure(c.Match.Definition, c.Name, err))
	frame, err := enc.failure(&s)
	if err != nil {
		a.Log.Error("watch error cannot be encoded", "err", err)
		return
	}
	if sink.Write(frame) == nil {
		_ = sink.Flush() // the watch ends in any case
	}
}

// watchTimeout is how long a watch lasts: as asked, or else a random time, so
// that those who began together do not come back together.
func (a *API) watchTimeout(q *query) time.Duration {
	if q.TimeoutSeconds != nil && *q.TimeoutSeconds > 0 {
		return time.Duration(*q.TimeoutSeconds) * time.Second
	}
	return a.WatchTimeout + time.Duration(a.Random(int(a.WatchTimeout/time.Millisecond)+1))*time.Millisecond
}

// watchRequest says from when to watch.
func watchRequest(c *request.Call, q *query) cache.WatchRequest {
	fields := q.fields
	p := cache.NewPredicate(c.Match.Definition, c.Match.Served, c.Namespace, q.labels, fields)
	if c.LegacyWatch && c.Name != "" {
		p = cache.NewPredicate(c.Match.Definition, c.Match.Served, c.Namespace, q.labels, nameSelector(c.Name))
	}
	r := cache.WatchRequest{Predicate: p, Bookmarks: q.AllowWatchBookmarks}
	initial := q.SendInitialEvents != nil && *q.SendInitialEvents
	switch {
	case !initial && q.revision > 0:
		r.From, r.Revision = cache.Exact, q.revision
	case q.ResourceVersion == "":
		r.From = cache.Latest
	case q.revision == 0:
		r.From = cache.Any
	default:
		r.From, r.Revision = cache.NotOlder, q.revision
	}
	r.SkipInitial = !initial
	r.InitialEventsEnd = initial && q.AllowWatchBookmarks
	return r
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// eventSink is where frames go. Frames are buffered until Flush.
type eventSink interface {
	Write(frame []byte) error
	Flush() error
	Close()
}

// stallTimeout is how long a client may leave what was sent to it unread
// before it is cut off; it can watch again from where it was.
const stallTimeout = 90 * time.Second

// streamSink writes frames one after the other into a response.
type streamSink struct {
	w       http.ResponseWriter
	ctl     *http.ResponseController
	extends time.Time
}

func newStreamSink(w http.ResponseWriter) *streamSink {
	return &streamSink{w: w, ctl: http.NewResponseController(w)}
}

func (s *streamSink) Write(frame []byte) error {
	// Moving the deadline costs more than a write; do it now and then.
	if now := time.Now(); now.After(s.extends) {
		s.extends = now.Add(stallTimeout / 3)
		_ = s.ctl.SetWriteDeadline(now.Add(stallTimeout)) // not all writers have one
	}
	_, err := s.w.Write(frame)
	return err
}

func (s *streamSink) Flush() error { return s.ctl.Flush() }
func (s *streamSink) Close()       {}

// initialEventsEnd marks the bookmark after the initial events.
const initialEventsEnd = metav1.InitialEventsAnnotationKey
