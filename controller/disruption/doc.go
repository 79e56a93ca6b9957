// Package disruption keeps the status of pod disruption budgets: how many of
// the pods that a budget selects are healthy, how many should be, and so how
// many may be evicted now.
//
// It evicts nothing and holds up nothing itself. The eviction subresource of
// pods spends what the status allows and notes there which pod it is about to
// delete; this controller counts that pod as gone from then on, and believes it
// to be there again if it has not been deleted two minutes later.
//
// What a fraction is of, the number of pods that their owners ask for, is read
// from the scale of each owner, whatever its kind. Where it cannot be read, the
// budget allows nothing.
//
// A pod that was to be disrupted, and was not, loses its condition
// DisruptionTarget after the same time.
package disruption
