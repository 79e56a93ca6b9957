package fairness

import (
	"math"
	"time"
)

// demand remembers how many seats were wanted over a time: those that were taken
// and those that were waited for. The zero value wants none. Not safe for
// concurrent use.
type demand struct {
	now         float64 // seats
	at          time.Time
	since       time.Time
	sum, square float64 // integrals over seconds
	high        float64
}

// change moves the demand by some seats.
func (d *demand) change(by int, at time.Time) {
	d.advance(at)
	d.now += float64(by)
	d.high = max(d.high, d.now)
}

func (d *demand) advance(at time.Time) {
	if d.at.IsZero() {
		d.at, d.since = at, at
	}
	// A clock that went back has not undone what was wanted.
	if passed := at.Sub(d.at).Seconds(); passed > 0 {
		d.sum += d.now * passed
		d.square += d.now * d.now * passed
	}
	d.at = at
}

// period ends a period and begins the next: what was wanted on average, how much
// that varied, and what was wanted at most.
func (d *demand) period(at time.Time) (mean, deviation, high float64) {
	d.advance(at)
	mean, high = d.now, d.high
	if passed := at.Sub(d.since).Seconds(); passed > 0 {
		mean = d.sum / passed
		deviation = math.Sqrt(max(0, d.square/passed-mean*mean))
	}
	d.since, d.sum, d.square, d.high = at, 0, 0, d.now
	return mean, deviation, high
}
