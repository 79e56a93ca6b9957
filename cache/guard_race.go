//go:build race

package cache

// guarded is how many replaced objects a hub keeps to see whether they were
// changed in place, where its options do not say. Who looks for races looks for
// this too: a change in place by the only reader of the moment is none.
const guarded = 4096
