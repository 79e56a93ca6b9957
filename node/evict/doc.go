// Package evict keeps the node from running out of memory, disk and process IDs:
// when what is left falls below a threshold, the node reports the pressure, asks
// for unused images to be removed, and then ends one pod after another, each time
// the one whose end harms least and helps most.
//
// [Decide] is pure: signals, thresholds, pods and what was seen before go in, a
// [Plan] comes out. [Manager] measures every ten seconds and carries the plan out.
// Signals, defaults, order and wording are upstream's. Polling is the nature of
// the matter: the kernel tells nobody when a disk fills.
package evict
