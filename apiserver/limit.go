package apiserver

import (
	"net/http"
	"sync/atomic"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/apiserver/fairness"
	"proa/apiserver/metrics"
	"proa/apiserver/request"
	"proa/auth"
)

// limits bound how many requests are worked on at once.
type limits struct {
	reads, writes limiter
}

type limiter struct {
	most    int64
	now     *atomic.Int64
	read    bool
	metrics *metrics.Metrics
}

func newLimits(reads, writes int, m *metrics.Metrics) limits {
	return limits{
		reads:  limiter{most: int64(reads), now: new(atomic.Int64), read: true, metrics: m},
		writes: limiter{most: int64(writes), now: new(atomic.Int64), metrics: m},
	}
}

func (l *limiter) enter() bool {
	if l.now.Add(1) > l.most {
		l.now.Add(-1)
		return false
	}
	l.metrics.InFlight(l.read, 1)
	return true
}

func (l *limiter) leave() {
	l.now.Add(-1)
	l.metrics.InFlight(l.read, -1)
}

// limit lets only so many requests be worked on at once, and chooses whom: by
// priority and fairness where the server has that, else by two plain bounds.
// Requests of this process bound themselves.
func (s *Server) limit(next handler) handler {
	bounded := s.bound(next)
	if s.config.Fairness != nil {
		bounded = s.share(next)
	}
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if c.Local {
			return next(w, r, c)
		}
		return bounded(w, r, c)
	}
}

// tooMany answers a request that came once too often.
func (s *Server) tooMany(w http.ResponseWriter, c *request.Call) error {
	s.metrics.Dropped(c.ReadOnly())
	w.Header().Set("Retry-After", "1")
	return apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
}

// bound refuses requests past the bounds. Long-running ones are not counted, nor
// those of the operator (system:masters), who must get in when others have
// filled the server.
func (s *Server) bound(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if c.LongRunning() || c.User.InGroup(auth.GroupMasters) {
			return next(w, r, c)
		}
		l := &s.limits.writes
		if c.ReadOnly() {
			l = &s.limits.reads
		}
		if !l.enter() {
			return s.tooMany(w, c)
		}
		defer l.leave()
		return next(w, r, c)
	}
}

// share lets a request wait for its turn, and says by whose decision. A watch
// has its seats until it has sent what there is; other requests that may last as
// long as they like have none.
func (s *Server) share(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		watch := c.Verb == "watch"
		if c.LongRunning() && !watch {
			return next(w, r, c)
		}
		ticket, err := s.config.Fairness.Enter(r.Context(), fairness.Request{
			User: c.User, Info: &c.Info, Query: r.URL.Query, Count: func() int { return s.count(&c.Info) },
		})
		h := w.Header()
		h.Set(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID, ticket.Schema)
		h.Set(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID, ticket.Level)
		if apierrors.IsTooManyRequests(err) {
			return s.tooMany(w, c)
		}
		if err != nil {
			return err
		}
		defer ticket.Leave()
		if watch {
			c.Begun = ticket.Leave
		} else {
			s.metrics.InFlight(c.ReadOnly(), 1)
			defer s.metrics.InFlight(c.ReadOnly(), -1)
		}
		return next(w, r, c)
	}
}

// count is how many objects there are of the resource that a request names.
func (s *Server) count(i *request.Info) int {
	m, ok := s.config.Table.View().Resource(i.GroupVersionResource())
	if !ok || m.Virtual {
		return 0
	}
	if c := s.config.Hub.Cache(m.Definition); c.Ready() {
		return c.Len()
	}
	return 0
}
