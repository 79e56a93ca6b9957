// Package daemonset keeps one pod of a DaemonSet on every node that it is for.
//
// A node is decided upon by the template alone: its node name, node selector,
// node affinity and tolerations, to which those are added that let a daemon
// stay on a node in trouble. The pods are bound by the scheduler, each by a
// required affinity to the name of its node, so that resources and ports are
// accounted for as with any pod.
//
// [decide] looks at all nodes at once: pods that are missing, superfluous or
// finished come first; only when nothing of that is left does a change of the
// template replace pods, as far as maxUnavailable or maxSurge allow. Templates
// are told apart by revisions (controller/revision).
//
// A daemon pod that fails at once again and again is replaced with growing
// delay per node, so that the controller does not fight with a node that
// refuses it.
package daemonset
