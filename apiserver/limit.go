package apiserver

import (
	"net/http"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

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
		l.metrics.Dropped(l.read)
		return false
	}
	l.metrics.InFlight(l.read, 1)
	return true
}

func (l *limiter) leave() {
	l.now.Add(-1)
	l.metrics.InFlight(l.read, -1)
}

// limit refuses requests past the bound. Long-running ones are not counted,
// nor those of the operator (system:masters), who must get in when others have
// filled the server, nor those of this process, which bounds itself.
func (s *Server) limit(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if c.Local || c.LongRunning() || c.User.InGroup(auth.GroupMasters) {
			return next(w, r, c)
		}
		l := &s.limits.writes
		if c.ReadOnly() {
			l = &s.limits.reads
		}
		if !l.enter() {
			w.Header().Set("Retry-After", "1")
			return apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
		}
		defer l.leave()
		return next(w, r, c)
	}
}
