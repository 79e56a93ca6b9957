// Package batch holds the rows of batch/v1: jobs, which run pods until enough
// of them have succeeded, and cron jobs, which make jobs by the clock.
//
// schedule.go parses schedules, for the controller of cron jobs too; policy.go
// and indexes.go hold the rules of a job's failure and success policies, and
// jobstatus.go those by which its status may move.
package batch

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{CronJob(), Job()}
}
