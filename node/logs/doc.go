// Package logs reads and rotates container logs in the CRI format, one entry a
// line:
//
//	2026-11-21T02:00:00.000000000Z stdout F hello
//
// [Read] serves kubectl logs: from a tail or a time, following past rotations,
// woken by inotify. [Rotator] keeps what one container may fill bounded: it
// looks at sizes slowly, and the more slowly the less is written.
package logs
