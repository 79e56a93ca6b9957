// Package deployment drives replica sets from one pod template to the next.
//
// decide.go is the heart: from a deployment, its replica sets and the time it
// computes which set is new, how large each set may be now, and what the
// status says. A change of template makes a new set whose name ends in a hash
// of the template; the rolling update then shifts replicas from the old sets
// to it within maxSurge and maxUnavailable, a paused deployment only scales in
// proportion, and Recreate waits for the old pods to end first. History is the
// old sets themselves, numbered by the revision annotation, so that "kubectl
// rollout undo" is nothing but putting an old template back.
package deployment
