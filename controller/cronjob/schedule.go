package cronjob

import (
	"errors"
	"sort"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"

	"proa/resource/batch"
)

// schedule reads when a cron job runs.
func schedule(c *batchv1.CronJob) (cron.Schedule, error) {
	text := c.Spec.Schedule
	if zoned(text) {
		return batch.ParseSchedule(text)
	}
	if z := c.Spec.TimeZone; z != nil {
		text = "TZ=" + *z + " " + text
	}
	return batch.ParseSchedule(text)
}

// zoned reports whether a schedule names a time zone itself, as was once
// possible.
func zoned(text string) bool { return strings.Contains(text, "TZ") }

// errNever: no time fulfils the schedule, as with the 31st of February.
var errNever = errors.New("time difference between two schedules is less than 1 second")

// manyMissed is how many missed times are worth a warning.
const manyMissed = 100

// latest returns the last time of a schedule after one and not after another,
// or the zero time, and whether there were many before it.
func latest(s cron.Schedule, after, until time.Time) (last time.Time, many bool, err error) {
	first := s.Next(after)
	if first.IsZero() {
		return time.Time{}, false, errNever
	}
	if first.After(until) {
		return time.Time{}, false, nil
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		// Its times count from where it began.
		n := until.Sub(first) / every.Delay
		return first.Add(n * every.Delay), n >= manyMissed, nil
	}
	// Next only grows with its argument. The last time is what follows the
	// latest second that it follows at all.
	seconds := int(until.Sub(after)/time.Second) + 1
	n := sort.Search(seconds, func(n int) bool {
		t := s.Next(after.Add(time.Duration(n) * time.Second))
		return t.IsZero() || t.After(until)
	})
	last = s.Next(after.Add(time.Duration(n-1) * time.Second))
	if second := s.Next(first); second.After(first) && !second.After(until) {
		many = until.Sub(first)/second.Sub(first) >= manyMissed
	}
	return last, many, nil
}

// begin is the time after which jobs are due.
func begin(c *batchv1.CronJob) time.Time {
	if t := c.Status.LastScheduleTime; t != nil {
		return t.Time
	}
	return c.CreationTimestamp.Time
}

// skew is added to the wait for the next time, for clocks that differ a little.
const skew = 100 * time.Millisecond

// untilNext is how long it is until the next time.
func untilNext(c *batchv1.CronJob, s cron.Schedule, now time.Time) time.Duration {
	from := begin(c)
	if last, _, err := latest(s, from, now); err != nil {
		from = now
	} else if !last.IsZero() {
		from = last
	}
	next := s.Next(from)
	if next.IsZero() {
		return 0
	}
	return next.Add(skew).Sub(now)
}
