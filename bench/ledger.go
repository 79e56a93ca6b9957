package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// sample is one round of some work on one side.
type sample struct {
	n         int           // operations
	wall, cpu time.Duration // of all of them; cpu is 0 where it is not known
	latencies []time.Duration
	peak      int64 // bytes of memory; 0 where it is not known
	// given says that the time was chosen, and is no result.
	given bool
}

// ledger holds what the sides of a comparison have shown. It is safe for
// concurrent use.
type ledger struct {
	// first is the side that the ratios say how much better it is, second the
	// other.
	first, second string

	mu       sync.Mutex
	works    []string // in the order in which they were first noted
	samples  map[string]map[string][]sample
	failures []failure
}

// failure is an operation that a side could not do.
type failure struct {
	side, operation string
	err             error
}

func newLedger(first, second string) *ledger {
	return &ledger{first: first, second: second, samples: map[string]map[string][]sample{}}
}

func (l *ledger) note(work, side string, s sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.samples[work] == nil {
		l.works = append(l.works, work)
		l.samples[work] = map[string][]sample{}
	}
	l.samples[work][side] = append(l.samples[work][side], s)
}

// failed notes an error, if it is one.
func (l *ledger) failed(side, operation string, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, failure{side, operation, err})
}

func (l *ledger) hasFailed(side, operation string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.failures, func(f failure) bool { return f.side == side && f.operation == operation })
}

// quantity is what an operation costs in one respect; 0 is unknown.
type quantity func(sample) float64

func cpuOfOne(s sample) float64   { return milliseconds(s.cpu) / float64(s.n) }
func peakMemory(s sample) float64 { return megabytes(s.peak) }

func timeOfOne(s sample) float64 {
	if s.given {
		return 0
	}
	return milliseconds(s.wall) / float64(s.n)
}

// ratio says how many times more the second side needs than the first: of the
// medians, and the least and the most of the rounds.
type ratio struct{ median, least, most float64 }

// ratio compares a quantity; ok is false where one side has nothing to show.
func (l *ledger) ratio(work string, q quantity) (r ratio, ok bool) {
	a, b := known(l.samples[work][l.first], q), known(l.samples[work][l.second], q)
	if len(a) == 0 || len(b) == 0 {
		return r, false
	}
	r.median = medianOf(b) / medianOf(a)
	r.least, r.most = r.median, r.median
	for i := range min(len(a), len(b)) {
		r.least, r.most = min(r.least, b[i]/a[i]), max(r.most, b[i]/a[i])
	}
	return r, true
}

func (r ratio) String() string {
	return fmt.Sprintf("%s (%s–%s)", times(r.median), times(r.least), times(r.most))
}

// times has two digits that mean something.
func times(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.2f", v)
	case v < 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// known are the values of a quantity in the order of the rounds.
func known(samples []sample, q quantity) []float64 {
	var all []float64
	for _, s := range samples {
		if v := q(s); v > 0 {
			all = append(all, v)
		}
	}
	return all
}

// medianOf what is not empty; the mean of the two in the middle of an even
// number.
func medianOf(vs []float64) float64 {
	s := slices.Sorted(slices.Values(vs))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

// quantile of the latencies of all samples, in milliseconds; 0 where there are
// none.
func quantile(samples []sample, q float64) float64 {
	var all []time.Duration
	for _, s := range samples {
		all = append(all, s.latencies...)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return milliseconds(all[min(int(q*float64(len(all))), len(all)-1)])
}
