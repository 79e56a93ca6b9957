// Package cgroup keeps the cgroups above the containers: kubepods, its two QoS
// tiers and one cgroup per pod, which the runtime is told to put containers in.
//
//	<root>/kubepods                     guaranteed pods: pod<uid>
//	<root>/kubepods/burstable           burstable pods:  pod<uid>
//	<root>/kubepods/besteffort          the rest:        pod<uid>
//
// kubepods as a whole is limited to the node's allocatable memory and weighed
// by its allocatable CPU, so that pods cannot starve the system. The burstable
// tier weighs as much as its pods ask for; the best-effort tier weighs least.
//
// Both drivers that CRI knows are here (plain files, and slices of systemd),
// on cgroup v1 and v2. What a pod's cgroup shall hold is decided by pure
// functions (name.go, limits.go); the Manager writes it, remembers what it
// wrote and writes only what differs. It keeps no process and no goroutine.
package cgroup
