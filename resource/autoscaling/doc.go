// Package autoscaling holds the rows of the autoscaling group, and the Scale
// view that workload kinds of other groups give of their objects.
package autoscaling
