package pod

import "time"

// Default bounds of the delay between restarts of a crashing container.
const (
	DefaultBackoffBase = 10 * time.Second
	DefaultBackoffMax  = 5 * time.Minute
)

// Backoff is the delay before the next restart of one container and when it was
// last raised. The zero value is "never restarted yet": the first restart is
// immediate.
type Backoff struct {
	Delay   time.Duration
	Updated time.Time
}

// BackoffLimits bound a [Backoff].
type BackoffLimits struct {
	Base, Max time.Duration
}

func (l BackoffLimits) orDefault() BackoffLimits {
	if l.Max <= 0 {
		l.Max = DefaultBackoffMax
	}
	if l.Base <= 0 {
		l.Base = DefaultBackoffBase
	}
	if l.Base > l.Max {
		l.Base = l.Max
	}
	return l
}

// expired reports whether a container that ended at end had run long enough, twice
// the maximum delay since its restart, for its history to be forgotten.
func (b Backoff) expired(end time.Time, l BackoffLimits) bool {
	return end.Sub(b.Updated) > 2*l.Max
}

// ReadyAt returns when a container that ended at end may be started again.
func (b Backoff) ReadyAt(end time.Time, l BackoffLimits) time.Time {
	l = l.orDefault()
	if b.Delay == 0 || b.expired(end, l) {
		return end
	}
	return end.Add(b.Delay)
}

// Next returns the backoff after a restart at now of a container that ended at
// end: the base delay at first, then doubled up to the maximum.
func (b Backoff) Next(end, now time.Time, l BackoffLimits) Backoff {
	l = l.orDefault()
	if b.Delay == 0 || b.expired(end, l) {
		return Backoff{Delay: l.Base, Updated: now}
	}
	return Backoff{Delay: min(2*b.Delay, l.Max), Updated: now}
}
