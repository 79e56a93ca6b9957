//go:build !race

package cache

// guarded is how many replaced objects a hub keeps to see whether they were
// changed in place, where its options do not say.
const guarded = 0
