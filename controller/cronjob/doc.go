// Package cronjob makes a Job whenever the schedule of a CronJob says so, and
// forgets those that have ended.
//
// Of the times that have passed since the last one, only the latest is made up
// for, and that only within the starting deadline. A job is named after the
// minute of its time, so that none is made twice whatever is forgotten in
// between.
//
// Nothing is polled: a reconcile asks to be called again at the next time.
package cronjob
